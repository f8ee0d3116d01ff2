"""`gc`, `rm` and the sweep: what somebody needs stays, the rest goes."""

import dataclasses
import os
from pathlib import Path

import pytest

import infra.lake
from infra import storage
from infra.errors import GristmillError, UsageError
from infra.lake import Lake, shards
from infra.lake.collect import Freed
from infra.manifest import Counts
from tests.infra.lake.artifacts import (
    DEDUP,
    NUMBERS,
    made_from,
    make_artifact,
    make_of_shards,
    make_shard,
    one_row,
    paths,
    shard_paths,
    there,
    versions,
    write_rows,
)

REPOSITORY = Path(__file__).parents[3]
NOW = -3600.0
"""Older than this: everything."""


def test_shards_that_no_artifact_names_go(lake: Lake) -> None:
    make_of_shards(lake, DEDUP, "map/a1", "map/a2", "other/a1")
    for name in ("map/b1", "other/b1", "third/b1"):
        make_shard(lake.root, name)
    sizes = {info.path: info.size_bytes for info in storage.list_files(f"{lake.root}/shards")}
    freed = lake.collect()
    assert there(lake) == {"map/a1", "map/a2", "other/a1"}
    assert sorted(freed.shards) == ["map/b1", "other/b1", "third/b1"]
    gone = sizes.keys() - set(shard_paths(lake))
    assert all("/b1" in path for path in gone)
    assert (freed.files, freed.size_bytes) == (6, sum(sizes[path] for path in gone))
    assert freed.artifacts == []
    assert lake.collect() == Freed()


def test_what_is_left_of_a_build_that_died_goes_with_it(lake: Lake) -> None:
    def dies(new: shards.NewShard) -> Counts:
        one_row(new)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        shards.make(lake.root, "map/ab", dies)
    notes, rejected = "map/__notes", "map/_rejected/__rejected"
    for left in (f"{notes}/ab.json.claim", f"{notes}/.ab.json.77.tmp", f"{rejected}/.ab-1.77.tmp"):
        storage.write_bytes(storage.join(lake.root, "shards", left), b"")
    freed = lake.collect()
    assert (freed.shards, freed.files) == ([], 4)
    assert shard_paths(lake) == []


def test_rejected_rows_and_what_was_made_on_the_way_stay_with_their_artifact(lake: Lake) -> None:
    def with_rejected(new: shards.NewShard) -> Counts:
        with new.rows(NUMBERS, rejected=True):
            pass
        return one_row(new)

    kept, _ = shards.make(lake.root, "extract/ab", with_rejected)
    on_the_way = make_shard(lake.root, "signatures/ab")
    with lake.begin(DEDUP) as writer:
        layers = [dataclasses.replace(entry, shard=0) for entry in kept.files]
        beside = dataclasses.replace(on_the_way.data, shard=0, layer=-1)
        write_rows(writer, "part-0.parquet", 1)
        keyed = [dataclasses.replace(entry, shard=0, layer=1) for entry in writer._found()]
        writer.commit(Counts(1, 1), files=[*layers, beside, *keyed])
    before = shard_paths(lake)
    assert lake.collect() == Freed()
    assert shard_paths(lake) == before
    assert lake.artifact(DEDUP).manifest(hashes=True)


def test_what_a_step_at_work_says_it_uses_stays(lake: Lake) -> None:
    old = make_of_shards(lake, DEDUP, "map/a1")
    newer = make_of_shards(lake, versions(1)[0], "map/a2")
    with lake.begin(made_from(old)) as writer:
        writer.uses(["map/b1", "map/b2"])
        for name in ("map/b1", "map/c1"):
            make_shard(lake.root, name)
        building = storage.join(lake.root, "shards/map/_rejected/__rejected/.b2-1.parquet.77.tmp")
        storage.write_bytes(building, b"")
        freed = lake.collect(keep=1)
        assert there(lake) == {"map/a1", "map/a2", "map/b1"}
        assert (freed.artifacts, freed.shards) == ([], ["map/c1"])
        assert storage.exists(building)
        assert lake.artifact(DEDUP).require() == old
    lake.sweep(NOW)
    freed = lake.collect(keep=1)
    assert freed.artifacts == [lake.artifact(DEDUP).path]
    assert there(lake) == {"map/a2"}
    assert [m.digest for _, m in lake._known()] == [newer.digest]


def test_a_dry_run_deletes_nothing_and_says_the_same(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, identity in enumerate(versions(3)):
        make_of_shards(lake, identity, f"map/a{number}", "map/common")
    half = lake.begin(DEDUP)
    half.uses(["map/half"])
    half.close()
    make_shard(lake.root, "map/half")
    make_shard(lake.root, "map/b")
    monkeypatch.setattr(infra.lake, "DAY_SECONDS", NOW)
    before = storage.list_files(lake.root)
    said = lake.collect(keep=1, dry_run=True)
    assert storage.list_files(lake.root) == before
    assert half.artifact.uri in said.artifacts
    assert {"map/half", "map/b"} < set(said.shards)
    assert len(said.artifacts) == 3
    assert lake.collect(keep=1) == said
    left = storage.list_files(lake.root)
    assert len(before) - len(left) == said.files
    sizes = [sum(info.size_bytes for info in listed) for listed in (before, left)]
    assert sizes[0] - sizes[1] == said.size_bytes


def test_keep_keeps_the_newest_of_each_kind_and_name_and_all_they_were_made_from(
    lake: Lake,
) -> None:
    parents = [make_of_shards(lake, i, f"map/{n}") for n, i in enumerate(versions(4))]
    for name in ("one", "two"):
        for parent in parents[:2]:
            make_artifact(lake, made_from(parent), name)
    known = lake._known()
    newest = {(artifact.kind, artifact.name): manifest for artifact, manifest in known}
    wanted = {manifest.digest for manifest in newest.values()}
    wanted |= {m.inputs["dedup"] for m in newest.values() if m.kind == "clean"}
    lake.collect(keep=1)
    assert {manifest.digest for _, manifest in lake._known()} == wanted
    names = {f"map/{n}" for n, parent in enumerate(parents) if parent.digest in wanted}
    assert there(lake) == names != set()


def test_keep_counts_the_age_of_artifacts(tmp_path: Path) -> None:
    lake = Lake.at(str(tmp_path))
    identities = versions(4)
    for age, identity in zip((10, 40, 20, 30), identities):
        make_artifact(lake, identity)
        os.utime(lake.artifact(identity).file("_MANIFEST.json"), (1000 - age, 1000 - age))
    lake.collect(keep=2)
    found = {artifact.digest for artifact in lake.artifacts()}
    assert found == {identities[0].digest[:12], identities[2].digest[:12]}


def test_also_keeps_these_and_what_they_were_made_from(lake: Lake) -> None:
    champion, *others = versions(5)
    grandparent = make_of_shards(lake, champion, "map/a")
    parent = make_artifact(lake, made_from(grandparent, "tokens"))
    model = make_artifact(lake, made_from(parent, "models"))
    for kind in ("tokens", "models"):
        for identity in others:
            make_artifact(lake, dataclasses.replace(identity, kind=kind, step=kind))
    for identity in others:
        make_artifact(lake, identity)
    lake.collect(keep=1, also=[model.digest])
    left = {m.digest for _, m in lake._known()}
    assert {grandparent.digest, parent.digest, model.digest} <= left
    assert there(lake) == {"map/a"}
    assert len(lake.artifacts()) <= 6


def test_without_keep_all_artifacts_stay(lake: Lake) -> None:
    for identity in versions(3):
        make_artifact(lake, identity)
    assert lake.collect() == Freed()
    assert len(lake.artifacts()) == 3


def test_an_artifact_whose_shard_is_gone_stops_no_gc_and_can_be_removed(lake: Lake) -> None:
    broken = make_of_shards(lake, DEDUP, "map/a")
    storage.delete(storage.join(lake.root, broken.files[0].path))
    assert lake.collect() == Freed()
    lake.remove(lake.artifact(DEDUP))
    assert lake.artifacts() == []
    assert lake.collect().shards == ["map/a"]


def test_an_artifact_is_not_removed_while_another_was_made_from_it(lake: Lake) -> None:
    parent = make_artifact(lake)
    child = made_from(parent)
    make_artifact(lake, child)
    with pytest.raises(UsageError, match=r"/default/.* was made from it; remove that first"):
        lake.remove(lake.artifact(DEDUP))
    lake.remove(lake.artifact(child))
    lake.remove(lake.artifact(DEDUP))
    assert lake.artifacts() == []
    with pytest.raises(GristmillError, match="not finished"):
        lake.remove(lake.artifact(DEDUP))


def test_an_artifact_is_not_removed_while_a_step_reads_it(lake: Lake) -> None:
    parent = make_artifact(lake)
    with (
        lake.begin(made_from(parent)),
        pytest.raises(UsageError, match="a step at work reads it; wait until it is done"),
    ):
        lake.remove(lake.artifact(DEDUP))
    assert lake.artifact(DEDUP).require() == parent


def test_removing_an_artifact_leaves_its_shards_to_gc(lake: Lake) -> None:
    make_of_shards(lake, DEDUP, "map/a")
    make_of_shards(lake, versions(1)[0], "map/a", "map/b")
    lake.remove(lake.artifact(versions(1)[0]))
    assert there(lake) == {"map/a", "map/b"}
    lake.collect()
    assert there(lake) == {"map/a"}


def test_the_sweep_takes_old_half_written_folders_alone(lake: Lake) -> None:
    finished, half = versions(2)
    made = make_artifact(lake, finished)
    with lake.begin(half) as writer:
        write_rows(writer, "part-0.parquet", 3)
    assert lake.sweep() == []
    assert lake.sweep(NOW) == [writer.artifact.uri]
    assert paths(writer.artifact) == []
    assert lake.artifact(finished).manifest(hashes=True) == made


@pytest.mark.parametrize("path", ["raw/2024/01/a.warc", "raw/2024/202401150030/a.warc"])
def test_what_is_not_the_lakes_own_is_never_removed(lake: Lake, path: str) -> None:
    make_artifact(lake)
    storage.write_bytes(storage.join(lake.root, path), b"")
    assert lake.sweep(NOW, NOW) == []
    assert storage.exists(storage.join(lake.root, path))


def test_a_removal_that_a_crash_cut_short_is_finished_by_the_sweep(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_artifact(lake)
    artifact = lake.artifact(DEDUP)

    def crash(uris: list[str]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(storage, "delete_many", crash)
        lake.remove(artifact)
    assert lake.artifacts() == []
    assert lake.sweep(NOW) == [artifact.uri]
    assert paths(artifact) == []


def test_the_sweep_spares_the_checkpoints_of_an_interrupted_training_for_longer(lake: Lake) -> None:
    resumable, started = (
        dataclasses.replace(DEDUP, kind="checkpoints", version=version) for version in (2, 3)
    )
    for identity, path in ((resumable, "step-00000004/COMPLETE"), (started, "step-00000004/shard")):
        lake.begin(identity).close()
        storage.write_bytes(lake.artifact(identity).file(path), b"")
    assert lake.sweep(NOW) == [lake.artifact(started).uri]
    assert lake.sweep(NOW, NOW) == [lake.artifact(resumable).uri]


def test_the_sweep_takes_work_that_a_crash_left_in_a_finished_artifact(lake: Lake) -> None:
    made = make_artifact(lake)
    left = lake.artifact(DEDUP).file("_work")
    storage.write_bytes(storage.join(left, "part-0"), b"")
    assert lake.sweep(NOW) == [left]
    assert lake.artifact(DEDUP).manifest(hashes=True) == made
