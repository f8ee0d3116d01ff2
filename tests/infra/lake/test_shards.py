"""Shards: the same declaration over the same input is found, and never a half of one."""

import dataclasses
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra import manifest, storage
from infra.errors import GristmillError
from infra.lake import parquet
from infra.lake.shards import NewShard, Shard, ShardMap, find, make, name_of, note_of
from infra.manifest import Counts
from tests.infra.lake.artifacts import NUMBERS, WAIT_SECONDS, Asked, make_shard, one_row
from tests.infra.processes import another_process, line_of

REPOSITORY = Path(__file__).parents[3]
NAME = "map/ab"
SIGNALS = ShardMap("signals", 2, {"words": 5}, ("text",), NUMBERS, iter)


def never(new: NewShard) -> Counts:
    """A build of what is there."""
    raise AssertionError(f"{new.digest} is built again")


def test_the_names_are_pinned() -> None:
    assert SIGNALS.shard_name(["extract/ab"]) == "signals/b3203de4721d566fc09cef31b2d30c28"


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"version": 3}, {"parameters": {"words": 6}}, {"parameters": {}}]
)
def test_another_declaration_makes_another_shard(change: dict[str, Any]) -> None:
    other = dataclasses.replace(SIGNALS, **change)
    assert other.shard_name(["extract/ab"]) != SIGNALS.shard_name(["extract/ab"])


@pytest.mark.parametrize("made_from", [["extract/ac"], ["extract/ab", "filter/cd"], [], "x"])
def test_another_input_makes_another_shard(made_from: Any) -> None:
    assert SIGNALS.shard_name(made_from) != SIGNALS.shard_name(["extract/ab"])


def test_what_does_not_change_the_rows_does_not_change_the_name() -> None:
    other = dataclasses.replace(SIGNALS, reads=("text", "url"), apply=lambda batches: batches)
    assert other.shard_name(["extract/ab"]) == SIGNALS.shard_name(["extract/ab"])


def test_another_version_of_a_library_that_shapes_rows_makes_another_shard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shaped = dataclasses.replace(SIGNALS, libraries=("python", "resiliparse"))
    before = shaped.shard_name(["extract/ab"])
    assert before == shaped.shard_name(["extract/ab"]) != SIGNALS.shard_name(["extract/ab"])
    monkeypatch.setattr(manifest, "_version_of", lambda library: "99.1")
    assert shaped.shard_name(["extract/ab"]) != before


def test_a_shard_is_built_once_and_found_again(root: str) -> None:
    assert find(root, NAME) is None
    made, was_there = make(root, NAME, one_row)
    assert not was_there
    assert make(root, NAME, never) == (made, True)
    assert find(root, NAME) == made
    assert parquet.read(root, made.data.path, ["n"]).to_pylist() == [{"n": 1}]
    assert make(root, "map/ac", one_row)[0].data.path != made.data.path
    assert make(root, "pam/ab", one_row)[0].data.path != made.data.path


def test_a_shard_says_its_files_hashes_and_counts(root: str) -> None:
    made = make_shard(root, NAME)
    (entry,) = made.files
    uri = storage.join(root, entry.path)
    assert (entry.size_bytes, entry.rows) == (len(storage.read_bytes(uri)), 1)
    assert entry.sha256 == storage.content_hash(uri)
    assert made.counts == Counts(1, 1)
    assert name_of(entry.path) == made.name == NAME


def with_rejected(new: NewShard) -> Counts:
    """Builds a shard that keeps two rows of three."""
    rows = pa.RecordBatch.from_pydict({"n": [1, 2, 3]}, NUMBERS)
    with new.rows(NUMBERS) as kept, new.rows(NUMBERS, rejected=True) as rejected:
        kept.write(rows.slice(0, 2))
        rejected.write(rows.slice(2))
    return Counts(3, 2, {"short": 1})


def test_rejected_rows_are_a_file_of_their_own(root: str) -> None:
    made, _ = make(root, NAME, with_rejected)
    kept, rejected = made.files
    assert [entry.is_rejected for entry in made.files] == [False, True]
    assert made.data == kept
    assert re.fullmatch(r"shards/map/_rejected/__rejected/ab-[0-9a-f]{8}\.parquet", rejected.path)
    assert {name_of(entry.path) for entry in made.files} == {NAME}
    assert parquet.read(root, rejected.path, ["n"]).to_pylist() == [{"n": 3}]


def loses_a_row(new: NewShard) -> Counts:
    """Builds a shard whose counts do not add up."""
    return dataclasses.replace(one_row(new), rows_in=2)


def breaks(new: NewShard) -> Counts:
    """Dies with one file whole and one half-written."""
    with_rejected(new)
    with new.rows(NUMBERS) as kept:
        kept.write(pa.RecordBatch.from_pydict({"n": [1]}, NUMBERS))
        raise RuntimeError("killed")


def test_a_lost_row_is_refused(root: str) -> None:
    with pytest.raises(GristmillError, match=r"^map: 2 rows in but 1 out"):
        make(root, NAME, loses_a_row)
    assert find(root, NAME) is None
    assert make(root, NAME, one_row)[0].counts == Counts(1, 1)


def test_a_build_that_dies_leaves_nothing_that_is_found(root: str) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        make(root, NAME, breaks)
    assert find(root, NAME) is None
    made, was_there = make(root, NAME, one_row)
    assert not was_there
    assert find(root, NAME) == made


@pytest.mark.parametrize("left", [b"", b"{}", b"[1]", b'{"name": "map/ab"', b"\xff", b"null"])
def test_a_damaged_note_is_one_line_that_says_where(root: str, left: bytes) -> None:
    where = note_of(root, NAME)
    storage.write_bytes(where, left)
    with pytest.raises(
        GristmillError, match=f"^{re.escape(where)}: damaged note .*run the step again"
    ) as caught:
        find(root, NAME)
    assert "\n" not in str(caught.value)


def test_a_shard_survives_its_note(root: str) -> None:
    made, _ = make(root, NAME, with_rejected)
    assert Shard.from_json(made.to_json(), "here") == made


def test_of_two_threads_one_builds_and_both_use_it(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    building, finish = threading.Event(), threading.Event()

    def slowly(new: NewShard) -> Counts:
        building.set()
        assert finish.wait(WAIT_SECONDS)
        return one_row(new)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(make, root, NAME, slowly)
        assert building.wait(WAIT_SECONDS)
        asked = Asked(monkeypatch, note_of(root, NAME))
        second = pool.submit(make, root, NAME, never)
        asked.again()
        assert not second.done()
        finish.set()
        made, was_there = first.result(WAIT_SECONDS)
        assert not was_there
        assert second.result(WAIT_SECONDS) == (made, True)


def test_of_two_builds_that_both_finish_one_counts(root: str) -> None:
    def overtaken(new: NewShard) -> Counts:
        counts = one_row(new)
        storage.delete(f"{note_of(root, NAME)}.claim")  # as if this one had been taken for dead
        make(root, NAME, one_row)
        return counts

    made, was_there = make(root, NAME, overtaken)
    assert was_there
    assert find(root, NAME) == made


MAKE = """
import sys
from infra.lake.shards import make
from tests.infra.processes import another_process, line_of
from tests.infra.lake.artifacts import one_row

def slowly(new):
    print("building", flush=True)
    sys.stdin.readline()
    return one_row(new)

print("asking", flush=True)
shard, was_there = make(sys.argv[1], "map/ab", slowly)
print(was_there, shard.data.path, flush=True)
"""


def test_of_two_processes_one_builds_and_both_use_it(tmp_path: Path) -> None:
    root = str(tmp_path)
    with ExitStack() as stack:
        first = stack.enter_context(another_process(MAKE, root))
        assert [line_of(first), line_of(first)] == ["asking", "building"]
        second = stack.enter_context(another_process(MAKE, root))
        assert line_of(second) == "asking"
        assert first.stdin is not None
        print(file=first.stdin, flush=True)
        was_there, path = line_of(first).split()
        assert was_there == "False"
        assert line_of(second) == f"True {path}"


def test_the_shard_of_a_killed_process_is_built_by_the_next(tmp_path: Path) -> None:
    root = str(tmp_path)
    with another_process(MAKE, root) as process:
        assert [line_of(process), line_of(process)] == ["asking", "building"]
        process.kill()
        process.wait(WAIT_SECONDS)
    assert find(root, NAME) is None
    _, was_there = make(root, NAME, one_row)
    assert not was_there
