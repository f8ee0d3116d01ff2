"""The lake: an artifact is there when its manifest is, on disk and on S3 alike."""

import dataclasses
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import storage
from infra.errors import GristmillError, TransientError, UsageError
from infra.lake import Artifact, Lake, Writer
from infra.manifest import MANIFEST_NAME, Counts, Identity, Manifest

DEDUP = Identity("dedup", "dedup", 1, {"threshold": 0.8}, {"documents": "0" * 64})
NOW = -3600.0
"""Older than this: everything."""


@pytest.fixture
def lake(root: str) -> Lake:
    """An empty lake, once local and once on S3."""
    return Lake.at(root)


def write_rows(writer: Writer, path: str, rows: int) -> None:
    """A Parquet file with so many rows."""
    with storage.open_write(writer.file(path)) as stream:
        pq.write_table(pa.table({"text": ["x"] * rows, "n": list(range(rows))}), stream)


def make(lake: Lake, identity: Identity = DEDUP, name: str = "default") -> Manifest:
    """A finished artifact: three rows, one rejected."""
    writer = lake.begin(identity, name)
    write_rows(writer, "part-0.parquet", 3)
    write_rows(writer, "rejected/part-0.parquet", 1)
    return writer.commit(Counts(4, 3, {"near_duplicate": 1}))


def paths(artifact: Artifact) -> list[str]:
    """What is in the artifact's folder."""
    return [info.path for info in storage.list_files(artifact.uri)]


def versions(count: int) -> list[Identity]:
    """So many identities of one step."""
    return [dataclasses.replace(DEDUP, version=2 + number) for number in range(count)]


def test_a_committed_artifact_says_what_it_holds(lake: Lake) -> None:
    made = make(lake)
    found = lake.artifact(DEDUP).manifest(hashes=True)
    assert found == made
    assert [(entry.path, entry.rows) for entry in made.files] == [
        ("part-0.parquet", 3),
        ("rejected/part-0.parquet", 1),
    ]
    assert made.schema == [{"name": "text", "type": "string"}, {"name": "n", "type": "int64"}]
    assert made.peak_memory_bytes > 0
    assert lake.artifact(DEDUP).data_uris() == [lake.artifact(DEDUP).file("part-0.parquet")]
    assert lake.artifact(DEDUP).rejected_uris() == [
        lake.artifact(DEDUP).file("rejected/part-0.parquet")
    ]
    assert lake.artifact(DEDUP).uri == f"{lake.root}/dedup/default/{DEDUP.digest[:12]}"


def test_a_half_written_folder_is_invisible(lake: Lake) -> None:
    write_rows(lake.begin(DEDUP), "part-0.parquet", 3)
    assert lake.artifact(DEDUP).manifest() is None
    assert lake.artifacts() == []
    with pytest.raises(GristmillError, match=r"not finished \(no manifest\); run its step first"):
        lake.artifact(DEDUP).require()
    with pytest.raises(UsageError, match="no such artifact"):
        lake.find(DEDUP.digest)


def test_beginning_again_sweeps_all_but_work_and_what_is_kept(lake: Lake) -> None:
    writer = lake.begin(DEDUP)
    for path in (
        "part-0.parquet",
        "rejected/part-0.parquet",
        "_SUCCESS",
        "_work/signatures/part-0",
        "step-1/shard",
        "steps",
        ".part.tmp",
    ):
        storage.write_bytes(writer.file(path), b"")
    lake.begin(DEDUP, keep=("step-",))
    assert paths(writer.artifact) == ["_work/signatures/part-0", "step-1/shard"]
    lake.begin(DEDUP)
    assert paths(writer.artifact) == ["_work/signatures/part-0"]


def test_after_the_commit_nothing_is_left_of_the_work(lake: Lake) -> None:
    writer = lake.begin(DEDUP)
    storage.write_bytes(writer.work("signatures", "part-0"), b"")
    storage.write_bytes(writer.file("_SUCCESS"), b"")
    write_rows(writer, "part-0.parquet", 1)
    made = writer.commit(Counts(1, 1))
    assert [entry.path for entry in made.files] == ["part-0.parquet"]
    assert paths(writer.artifact) == ["_MANIFEST.json", "_SUCCESS", "part-0.parquet"]


def test_only_the_named_files_belong_to_the_result(lake: Lake) -> None:
    writer = lake.begin(DEDUP)
    for path in ("part-0.parquet", "part-1.parquet"):
        write_rows(writer, path, 1)
    with pytest.raises(GristmillError, match=r"part-2\.parquet is gone"):
        writer.commit(Counts(1, 1), only=["part-0.parquet", "part-2.parquet"])
    assert lake.artifact(DEDUP).manifest() is None
    assert [entry.path for entry in writer.commit(Counts(1, 1), only=["part-0.parquet"]).files] == [
        "part-0.parquet"
    ]


def test_a_lost_row_keeps_the_artifact_from_being_written(lake: Lake) -> None:
    writer = lake.begin(DEDUP)
    write_rows(writer, "part-0.parquet", 3)
    with pytest.raises(GristmillError, match="5 rows in but 3 out"):
        writer.commit(Counts(5, 3, {"near_duplicate": 1}))
    assert lake.artifact(DEDUP).manifest() is None


def test_a_cut_file_is_an_error_that_names_it(lake: Lake) -> None:
    make(lake)
    uri = lake.artifact(DEDUP).file("part-0.parquet")
    storage.write_bytes(uri, storage.read_bytes(uri)[:-1])
    with pytest.raises(
        GristmillError,
        match=f"^{re.escape(uri)}: \\d+ bytes, the manifest says \\d+; delete the folder",
    ):
        lake.artifact(DEDUP).manifest()


def test_a_missing_file_is_an_error_that_names_it(lake: Lake) -> None:
    make(lake)
    uri = lake.artifact(DEDUP).file("rejected", "part-0.parquet")
    storage.delete(uri)
    with pytest.raises(GristmillError, match=f"^{re.escape(uri)}: no bytes, the manifest says"):
        lake.artifact(DEDUP).require()


def test_altered_content_of_equal_size_is_found_by_its_hash(lake: Lake) -> None:
    make(lake)
    uri = lake.artifact(DEDUP).file("part-0.parquet")
    data = bytearray(storage.read_bytes(uri))
    data[len(data) // 2] ^= 1
    storage.write_bytes(uri, bytes(data))
    assert lake.artifact(DEDUP).manifest() is not None
    with pytest.raises(GristmillError, match=f"^{re.escape(uri)}: not the manifest's content"):
        lake.artifact(DEDUP).manifest(hashes=True)


def test_a_manifest_in_the_folder_of_another_artifact_is_an_error(lake: Lake) -> None:
    make(lake)
    other = lake.artifact(versions(1)[0])
    storage.write_bytes(
        other.file(MANIFEST_NAME), storage.read_bytes(lake.artifact(DEDUP).file(MANIFEST_NAME))
    )
    with pytest.raises(GristmillError, match="belongs to another artifact"):
        other.manifest()


def test_of_two_writers_one_manifest_wins_and_both_return_it(lake: Lake) -> None:
    writers = [lake.begin(DEDUP) for _ in range(2)]
    write_rows(writers[0], "part-0.parquet", 3)
    together = threading.Barrier(2)

    def commit(number: int) -> Manifest:
        together.wait()
        return writers[number].commit(Counts(3, 3), details={"writer": number})

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(commit, range(2))
    assert one == other == lake.artifact(DEDUP).require()


def test_a_finished_artifact_is_not_begun_again(lake: Lake) -> None:
    made = make(lake)
    with pytest.raises(TransientError, match="another run has just finished it"):
        lake.begin(DEDUP)
    assert lake.artifact(DEDUP).manifest(hashes=True) == made


def test_an_artifact_is_found_by_every_way_to_name_it(lake: Lake) -> None:
    make(lake)
    artifact = lake.artifact(DEDUP)
    short = DEDUP.digest[:12]
    for reference in (
        DEDUP.digest,
        short,
        short[:4],
        f"dedup/default/{short}",
        "dedup/default",
        artifact.uri,
        artifact.uri + "/",
    ):
        assert lake.find(reference) == artifact, reference
    assert lake.find(short, "dedup") == artifact


def test_a_local_artifact_is_found_by_its_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake.at(str(tmp_path / "lake"))
    make(lake)
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEDUP.digest[:4]).write_bytes(b"")
    assert lake.find(f"./lake/dedup/default/{DEDUP.digest[:12]}/") == lake.artifact(DEDUP)
    assert lake.find(DEDUP.digest[:4]) == lake.artifact(DEDUP)


@pytest.mark.parametrize(
    "reference", ["abc", "ffffffff", "dedup/other", "dedup", "clean/default", ""]
)
def test_what_is_not_there_is_not_found(lake: Lake, reference: str) -> None:
    make(lake)
    with pytest.raises(UsageError, match="no such artifact"):
        lake.find(reference)


def test_a_reference_of_another_kind_is_not_found(lake: Lake) -> None:
    make(lake)
    with pytest.raises(UsageError, match="no such artifact"):
        lake.find(DEDUP.digest, "clean")
    with pytest.raises(UsageError, match="unknown kind 'dedpu'; nearest: 'dedup'"):
        lake.find(DEDUP.digest, "dedpu")


def test_digits_that_fit_several_artifacts_are_refused(root: str) -> None:
    lake = Lake.at(root)
    for digest in ("abcd" + "0" * 8, "abcd" + "1" * 8):
        storage.write_bytes(storage.join(root, "dedup", "default", digest, MANIFEST_NAME), b"{}")
    with pytest.raises(
        UsageError, match=r"abcd: several artifacts match .*abcd00000000.*give more digits"
    ):
        lake.find("abcd")


def test_a_name_alone_means_the_newest(tmp_path: Path) -> None:
    lake = Lake.at(str(tmp_path))
    identities = versions(3)
    for identity in identities:
        make(lake, identity)
    assert lake.find("dedup/default").digest == identities[-1].digest


def test_one_result_may_stand_under_two_names(lake: Lake) -> None:
    make(lake, name="one")
    make(lake, name="two")
    assert [artifact.name for artifact in lake.artifacts("dedup")] == ["one", "two"]
    assert lake.find("dedup/one").name == "one"
    assert lake.find(DEDUP.digest).digest == DEDUP.digest


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "x" * 65])
def test_a_name_that_is_no_folder_is_refused(lake: Lake, name: str) -> None:
    with pytest.raises(UsageError, match="use up to 64 letters"):
        lake.artifact(DEDUP, name)


def test_a_kind_that_is_not_there_names_the_nearest(lake: Lake) -> None:
    with pytest.raises(UsageError, match="unknown kind 'dedupe'; nearest: 'dedup'"):
        lake.artifact(dataclasses.replace(DEDUP, kind="dedupe"))


def test_ancestors_are_found_through_the_digests(lake: Lake) -> None:
    documents = Identity("documents", "extract", 1, {}, {"crawl": "1" * 64})
    clean = Identity("clean", "filter", 1, {}, {"documents": documents.digest})
    dedup = Identity("dedup", "dedup", 1, {}, {"documents": clean.digest})
    for identity in (documents, clean, dedup):
        make(lake, identity)
    found = lake.ancestors(lake.find(dedup.digest))
    assert [(artifact.kind, artifact.digest) for artifact in found] == [
        (i.kind, i.digest) for i in (dedup, clean, documents)
    ]


def test_the_sweep_takes_old_half_written_folders_alone(lake: Lake) -> None:
    finished, half = versions(2)
    made = make(lake, finished)
    writer = lake.begin(half)
    write_rows(writer, "part-0.parquet", 3)
    assert lake.sweep() == []
    assert lake.sweep(NOW) == [writer.artifact.uri]
    assert paths(writer.artifact) == []
    assert lake.artifact(finished).manifest(hashes=True) == made


def test_the_sweep_spares_the_checkpoints_of_an_interrupted_training_for_longer(lake: Lake) -> None:
    resumable, started = (
        dataclasses.replace(DEDUP, kind="checkpoints", version=version) for version in (2, 3)
    )
    for identity, path in ((resumable, "step-00000004/COMPLETE"), (started, "step-00000004/shard")):
        storage.write_bytes(lake.artifact(identity).file(path), b"")
    assert lake.sweep(NOW) == [lake.artifact(started).uri]
    assert lake.sweep(NOW, NOW) == [lake.artifact(resumable).uri]


def test_a_second_process_waits_until_the_first_that_writes_an_artifact_is_gone(
    tmp_path: Path,
) -> None:
    program = f"""
from infra.lake import Lake
from tests.infra.test_lake import DEDUP
Lake.at({str(tmp_path)!r}).begin(DEDUP)
print("begun", flush=True)
input()
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    other = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"begun\n"
    with ThreadPoolExecutor(1) as pool:
        mine = pool.submit(Lake.at(str(tmp_path)).begin, DEDUP)
        with pytest.raises(TimeoutError):
            mine.result(timeout=0.2)
        other.kill()
        assert mine.result().artifact == Lake.at(str(tmp_path)).artifact(DEDUP)
    other.communicate()


def test_the_sweep_takes_work_that_a_crash_left_in_a_finished_artifact(lake: Lake) -> None:
    made = make(lake)
    left = lake.artifact(DEDUP).file("_work")
    storage.write_bytes(storage.join(left, "part-0"), b"")
    assert lake.sweep(NOW) == [left]
    assert lake.artifact(DEDUP).manifest(hashes=True) == made
