"""Writing: what a dead attempt left is swept, one of two writers wins, lost rows are refused."""

import contextlib
import dataclasses
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra import storage
from infra.errors import GristmillError, TransientError
from infra.lake import Lake
from infra.lake import writer as writing
from infra.lake.collect import InUse
from infra.manifest import Counts, FileEntry, Manifest
from tests.infra.lake.artifacts import (
    DEDUP,
    WAIT_SECONDS,
    Asked,
    make_artifact,
    make_shard,
    own_files,
    paths,
    write_rows,
)

REPOSITORY = Path(__file__).parents[3]


def kept_paths(lake: Lake) -> list[str]:
    """What is in the artifact's folder, but for what a writer says of itself."""
    said = ("_work/alive", "_work/uses/")
    return [path for path in paths(lake.artifact(DEDUP)) if not path.startswith(said)]


def test_beginning_again_sweeps_all_but_work_and_what_is_kept(lake: Lake) -> None:
    with lake.begin(DEDUP) as writer:
        for path in (
            "part-0.parquet",
            "_rejected/part-0.parquet",
            "_SUCCESS",
            "_work/signatures/part-0",
            "step-1/shard",
            "steps",
            ".part.tmp",
        ):
            storage.write_bytes(writer.file(path), b"")
    with lake.begin(DEDUP, keep=("step-",)):
        assert kept_paths(lake) == ["_work/signatures/part-0", "step-1/shard"]
    with lake.begin(DEDUP):
        assert kept_paths(lake) == ["_work/signatures/part-0"]


def test_after_the_commit_nothing_is_left_of_the_work(lake: Lake) -> None:
    writer = lake.begin(DEDUP)
    storage.write_bytes(writer.work("signatures", "part-0"), b"")
    storage.write_bytes(writer.file("_SUCCESS"), b"")
    write_rows(writer, "part-0.parquet", 1)
    made = writer.commit(Counts(1, 1))
    assert own_files(made) == [("part-0.parquet", 1)]
    assert paths(writer.artifact) == ["_MANIFEST.json", "_SUCCESS", "part-0.parquet"]
    assert storage.list_files(storage.join(lake.root, ".writing")) == []


def test_files_that_are_not_parquet_have_no_rows(lake: Lake) -> None:
    with lake.begin(DEDUP) as writer:
        storage.write_bytes(writer.file("tokenizer.json"), b"{}")
        made = writer.commit(Counts())
    assert own_files(made) == [("tokenizer.json", 0)]
    assert made.schema == []


def test_named_files_are_the_result_wherever_they_lie(lake: Lake) -> None:
    shard = make_shard(lake.root, "map/ab")
    files = [dataclasses.replace(shard.data, shard=0)]
    with lake.begin(DEDUP) as writer:
        write_rows(writer, "of-a-dead-attempt.parquet", 1)
        made = writer.commit(Counts(1, 1), files=files)
    assert made.files == files
    assert lake.artifact(DEDUP).manifest(hashes=True) == made
    assert lake.artifact(DEDUP).stacks()[0].names == ["map/ab"]
    assert made.schema == [{"name": "n", "type": "int64"}]


def test_a_lost_row_keeps_the_artifact_from_being_written(lake: Lake) -> None:
    writer = lake.begin(DEDUP)
    write_rows(writer, "part-0.parquet", 3)
    with pytest.raises(GristmillError, match="5 rows in but 3 out"):
        writer.commit(Counts(5, 3, {"near_duplicate": 1}))
    assert lake.artifact(DEDUP).manifest() is None


def test_of_two_writers_one_manifest_wins_and_both_return_it(lake: Lake) -> None:
    writers = [lake.begin(DEDUP)]
    for info in storage.list_files(storage.join(lake.root, ".writing")):
        storage.delete(info.uri)  # as if the first had been taken for dead
    writers.append(lake.begin(DEDUP))
    write_rows(writers[0], "part-0.parquet", 3)
    together = threading.Barrier(2)

    def commit(number: int) -> Manifest:
        together.wait()
        return writers[number].commit(Counts(3, 3), details={"writer": number})

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(commit, range(2))
    assert one == other == lake.artifact(DEDUP).require()


def test_a_finished_artifact_is_not_begun_again(lake: Lake) -> None:
    made = make_artifact(lake)
    with pytest.raises(TransientError, match="another run has just finished it"):
        lake.begin(DEDUP)
    assert lake.artifact(DEDUP).manifest(hashes=True) == made


def test_a_writer_that_failed_lets_go_at_the_end_of_its_block(lake: Lake) -> None:
    with pytest.raises(RuntimeError), lake.begin(DEDUP):
        raise RuntimeError
    assert make_artifact(lake) == lake.artifact(DEDUP).require()


BEGIN = """
import sys
from infra.lake import Lake
from tests.infra.lake.artifacts import DEDUP
Lake.at(sys.argv[1]).begin(DEDUP)
print("begun", flush=True)
sys.stdin.read()
"""


def test_a_second_process_waits_until_the_first_that_writes_an_artifact_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake.at(str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN, lake.root],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"begun\n"
        asked = Asked(monkeypatch, lake.artifact(DEDUP).file("_MANIFEST.json"))
        with ThreadPoolExecutor(1) as pool:
            mine = pool.submit(lake.begin, DEDUP)
            asked.again()
            assert not mine.done()
            other.kill()
            with mine.result(WAIT_SECONDS) as writer:
                assert writer.artifact == lake.artifact(DEDUP)


def test_from_the_beginning_on_a_writer_says_what_it_is_made_from(lake: Lake) -> None:
    with lake.begin(DEDUP) as writer:
        writer.uses(["map/b", "map/a", "map/b"])
        said = InUse()
        said.add(f for f in storage.list_files(writer.work("uses")))
    assert said == InUse({"map/a", "map/b"}, {DEDUP.inputs["documents"]})


def test_a_writer_that_lives_is_not_swept_and_a_dead_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ALIVE_SECONDS", 0.01)
    lake = Lake.at(str(tmp_path))
    writer = lake.begin(DEDUP)
    make_old(tmp_path)
    until = time.monotonic() + WAIT_SECONDS
    while (storage.modified(writer.work("alive")) or 0) == 0 and time.monotonic() < until:
        pass  # until its next sign of life
    assert lake.sweep() == []
    writer.close()
    make_old(tmp_path)
    assert lake.sweep() == [writer.artifact.uri]


def make_old(folder: Path) -> None:
    """As if nobody had touched these files since 1970."""
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a writer's file on its way to its name
            os.utime(path, (0, 0))


def test_what_a_failed_attempt_left_among_the_files_goes_with_the_commit(lake: Lake) -> None:
    with lake.begin(DEDUP) as writer:
        for path in ("part-0-dead.parquet", "_rejected/part-0-dead.parquet", "part-0-good.parquet"):
            write_rows(writer, path, 3)
        folder = writer.artifact.path
        good = FileEntry(f"{folder}/part-0-good.parquet", 1, "0" * 64, 3)
        good = dataclasses.replace(good, size_bytes=len(storage.read_bytes(lake_file(lake, good))))
        writer.commit(Counts(3, 3), files=[good])
    assert paths(writer.artifact) == ["_MANIFEST.json", "part-0-good.parquet"]


def lake_file(lake: Lake, entry: FileEntry) -> str:
    """Where a file is."""
    return storage.join(lake.root, entry.path)
