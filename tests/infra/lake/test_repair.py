"""What is damaged in a lake is found, named, and removed, so that the next run builds it again."""

import pytest

from infra import storage
from infra.errors import DamagedError, UsageError
from infra.lake import WORK, Artifact, Lake
from infra.lake.damage import Damage, Stored
from infra.lake.repair import check, check_shards, mend, remove_files
from infra.lake.shards import find, make, note_of
from infra.manifest import MANIFEST_NAME, Counts
from tests.infra.lake.artifacts import (
    DEDUP,
    make_artifact,
    make_of_shards,
    make_shard,
    one_row,
    paths,
    there,
    versions,
    write_rows,
)


def alter(uri: str) -> None:
    """Flip one bit: the size stays."""
    data = bytearray(storage.read_bytes(uri))
    data[len(data) // 2] ^= 1
    storage.write_bytes(uri, bytes(data))


def damage(lake: Lake, artifact: Artifact, *, hashes: bool = False) -> list[Damage]:
    """What is wrong with it."""
    return check(artifact, Stored(lake.root, hashes=hashes)).damage


def test_a_sound_artifact_has_no_damage(lake: Lake) -> None:
    make_artifact(lake)
    found = check(lake.artifact(DEDUP), Stored(lake.root, hashes=True))
    assert (found.files, found.damage) == (2, [])


def test_a_missing_file_takes_the_manifest_with_it_and_the_step_can_write_again(lake: Lake) -> None:
    made = make_artifact(lake)
    artifact = lake.artifact(DEDUP)
    storage.delete(artifact.file("part-0.parquet"))
    (found,) = damage(lake, artifact)
    assert found.path == f"{artifact.path}/part-0.parquet"
    assert "no bytes" in found.said
    mend(artifact, [found])
    assert artifact.manifest() is None
    assert make_artifact(lake).content == made.content


def test_an_altered_file_of_equal_size_is_seen_by_its_hash_alone(lake: Lake) -> None:
    make_artifact(lake)
    artifact = lake.artifact(DEDUP)
    alter(artifact.file("part-0.parquet"))
    assert damage(lake, artifact) == []
    (found,) = damage(lake, artifact, hashes=True)
    assert "not their content" in found.said
    mend(artifact, [found], hashes=True)
    assert artifact.manifest() is None
    assert not storage.exists(artifact.file("part-0.parquet"))


@pytest.mark.parametrize("left", [b" ", b"[]", b"\xff\x00", b'{"format": '])
def test_a_damaged_manifest_is_damage_and_goes(lake: Lake, left: bytes) -> None:
    make_artifact(lake)
    artifact = lake.artifact(DEDUP)
    storage.write_bytes(artifact.file(MANIFEST_NAME), left)
    (found,) = damage(lake, artifact)
    assert found.path == f"{artifact.path}/{MANIFEST_NAME}"
    mend(artifact, [found])
    assert artifact.manifest() is None
    make_artifact(lake)
    assert damage(lake, artifact) == []


def test_what_another_process_has_repaired_meanwhile_stays(lake: Lake) -> None:
    made = make_artifact(lake)
    artifact = lake.artifact(DEDUP)
    mend(artifact, [Damage(f"{artifact.path}/part-0.parquet", "no bytes")])
    assert artifact.manifest(hashes=True) == made


def test_a_damaged_shard_goes_with_its_note_and_every_artifact_of_it_is_damaged(
    lake: Lake,
) -> None:
    first, second = versions(2)
    made = make_of_shards(lake, first, "map/ab", "map/cd")
    make_of_shards(lake, second, "map/ab")
    alter(storage.join(lake.root, made.files[0].path))
    found = damage(lake, lake.artifact(first), hashes=True)
    mend(lake.artifact(first), found, hashes=True)
    assert there(lake) == {"map/cd"}
    (also,) = damage(lake, lake.artifact(second))
    assert also.path == made.files[0].path
    mend(lake.artifact(second), [also])
    assert make_of_shards(lake, first, "map/ab", "map/cd").content == made.content


def test_after_a_repair_gc_keeps_the_shards_that_the_manifest_named(lake: Lake) -> None:
    made = make_of_shards(lake, DEDUP, "map/ab", "map/cd")
    storage.delete(storage.join(lake.root, made.files[0].path))
    mend(lake.artifact(DEDUP), damage(lake, lake.artifact(DEDUP)))
    lake.collect()
    assert there(lake) == {"map/cd"}


def test_checkpoints_that_are_whole_survive_a_repair(lake: Lake) -> None:
    with lake.begin(DEDUP, keep=("step-",)) as writer:
        for name in ("step-1/shard", "step-2/shard", "model"):
            storage.write_bytes(writer.file(name), b"weights")
        storage.write_bytes(writer.file("step-2/COMPLETE"), b"complete")
        writer.commit(Counts())
    artifact = lake.artifact(DEDUP)
    storage.delete(artifact.file("step-2/shard"))
    storage.delete(artifact.file("model"))
    mend(artifact, damage(lake, artifact))
    assert [path for path in paths(artifact) if not path.startswith(WORK)] == ["step-1/shard"]


def test_every_shard_is_checked_against_its_note(lake: Lake) -> None:
    make_shard(lake.root, "map/ab")
    lost = make_shard(lake.root, "map/cd")
    storage.write_bytes(note_of(lake.root, "map/ef"), b"{")
    storage.delete(storage.join(lake.root, lost.data.path))
    checked = {each.path: each.damage for each in check_shards(lake.root, Stored(lake.root))}
    assert checked.pop("shards/map/__notes/ab.json") == []
    assert set(checked) == {"shards/map/__notes/cd.json", "shards/map/__notes/ef.json"}
    for found in checked.values():
        remove_files(lake.root, (each.path for each in found))
    assert there(lake) == {"map/ab"}


def test_a_shard_with_a_damaged_note_is_built_again(lake: Lake) -> None:
    storage.write_bytes(note_of(lake.root, "map/ab"), b"{")
    made, was_there = make(lake.root, "map/ab", one_row)
    assert not was_there
    assert find(lake.root, "map/ab") == made


def test_gc_removes_nothing_where_a_manifest_cannot_be_read(lake: Lake) -> None:
    first, second = versions(2)
    make_of_shards(lake, first, "map/ab")
    make_of_shards(lake, second, "map/cd")
    storage.write_bytes(lake.artifact(first).file(MANIFEST_NAME), b"{")
    for keep in (None, 1):
        with pytest.raises(DamagedError, match="damaged manifest"):
            lake.collect(keep=keep)
    assert there(lake) == {"map/ab", "map/cd"}
    assert len(lake.artifacts()) == 2


def test_a_damaged_artifact_is_found_listed_and_removed_like_any_other(lake: Lake) -> None:
    first, second = versions(2)
    make_artifact(lake, first)
    make_artifact(lake, second)
    storage.write_bytes(lake.artifact(second).file(MANIFEST_NAME), b"{")
    damaged = lake.find(second.digest)
    assert lake.newest("dedup") == damaged
    assert lake.ancestors(damaged) == [damaged]
    lake.remove(lake.find(first.digest))
    lake.remove(damaged)
    assert lake.artifacts() == []


def test_an_attempt_is_found_by_its_folder_and_removed_unless_it_is_written(lake: Lake) -> None:
    writer = lake.begin(DEDUP)
    write_rows(writer, "part-0.parquet", 3)
    ((attempt, _),) = lake.attempts("dedup")
    with pytest.raises(UsageError, match="no such artifact"):
        lake.find(attempt.path)
    assert lake.find(attempt.path, half_written=True) == attempt
    with pytest.raises(UsageError, match="a step is writing it"):
        lake.remove(attempt)
    writer.close()
    lake.remove(attempt)
    assert lake.attempts("dedup") == []
