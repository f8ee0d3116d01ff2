"""Row-by-row work: each shard is made once, in any order; a map that loses rows makes none."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.errors import PythonException

from infra import storage
from infra.failures import failure_in
from infra.lake import Artifact, Lake, Writer
from infra.lake.rows import read_rows
from infra.lake.shards import ShardMap, note_of
from infra.manifest import Counts, Identity
from infra.step import DOCUMENTS, Task
from jobs.filter import STEP as FILTER
from jobs.filter import FilterParameters
from jobs.spark.documents import commit_layers, count, layer_files, rows_of_shards, schema_of
from jobs.spark.maps import map_shards, tally
from jobs.spark.session import Session

Make = Callable[..., Artifact]
LENGTHS = pa.schema([("length", pa.int64()), ("reject_reason", pa.string())])
ROWS = [{"text": "x" * n} for n in range(1, 10)]


def lengths(batches: Iterator[pa.RecordBatch], most: int) -> Iterator[pa.RecordBatch]:
    """The length of each text; longer ones than `most` are dropped."""
    for batch in batches:
        found = [len(text) for text in batch.column("text").to_pylist()]
        reasons = ["long" if n > most else None for n in found]
        yield pa.RecordBatch.from_pydict({"length": found, "reject_reason": reasons}, LENGTHS)


def off_by(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """A map that loses (-1) or invents (1) a row."""
    for batch in lengths(batches, 100):
        yield batch.slice(1) if rows < 0 else batch
        if rows > 0:
            yield batch.slice(0, 1)


def measure(most: int = 5, **fields: Any) -> ShardMap:
    """The map under test."""
    apply = partial(lengths, most=most)
    given = {"name": "lengths", "version": 1, "parameters": {"most": most}, "reads": ("text",)}
    return ShardMap(**{**given, "schema": LENGTHS, "apply": apply, **fields})


@pytest.fixture
def writer(lake: Lake) -> Iterator[Writer]:
    """A step at work."""
    with lake.begin(Identity("clean", "lengths", 1, {}, {})) as begun:
        yield begun


def files_of(lake: Lake, shard_map: str) -> dict[str, int]:
    """Name -> time of change of all files of a map."""
    folder = Path(lake.root, "shards", shard_map)
    return {p.name: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_shards_come_in_the_order_of_their_stacks_with_what_they_kept(
    session: Session, lake: Lake, documents_artifact: Make, writer: Writer
) -> None:
    stacks = documents_artifact(lake, ROWS, shards=4).stacks()
    made = map_shards(session, writer, "lengths", measure(), stacks)
    assert [shard.counts.rows_in for shard in made] == [2, 2, 2, 3]
    assert [shard.counts.rows_out for shard in made] == [2, 2, 1, 0]
    assert [shard.counts.rejected for shard in made] == [{}, {}, {"long": 1}, {"long": 3}]
    assert sum(shard.counts.extra["bytes_text"] for shard in made) == 15
    rows = rows_of_shards(session, made, ["length"], "shard int, length long").collect()
    found = sorted((row["shard"], row["length"]) for row in rows)
    assert found == [(0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (2, 6), (3, 7), (3, 8), (3, 9)]


def test_a_shard_that_is_there_is_found_and_a_missing_one_alone_is_made(
    session: Session, lake: Lake, documents_artifact: Make, writer: Writer
) -> None:
    stacks = documents_artifact(lake, ROWS, shards=4).stacks()
    first = map_shards(session, writer, "lengths", measure(), stacks)
    before = files_of(lake, "lengths")
    assert map_shards(session, writer, "lengths", measure(), stacks) == first
    assert files_of(lake, "lengths") == before
    storage.delete(note_of(lake.root, first[2].name))
    again = map_shards(session, writer, "lengths", measure(), stacks)
    assert [shard.data.sha256 for shard in again] == [shard.data.sha256 for shard in first]
    assert len(files_of(lake, "lengths")) == len(before) + 1  # a new attempt, a new name
    assert map_shards(session, writer, "lengths", measure(most=3), stacks) != first


def test_a_note_that_names_what_is_outside_the_lake_is_told_and_made_again(
    session: Session,
    lake: Lake,
    documents_artifact: Make,
    writer: Writer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stacks = documents_artifact(lake, ROWS[:2]).stacks()
    (first,) = map_shards(session, writer, "lengths", measure(), stacks)
    (tmp_path / "victim").mkdir()
    note = json.loads(storage.read_bytes(note_of(lake.root, first.name)))
    note["files"].append({**note["files"][0], "path": "shards/../../victim", "size_bytes": 1})
    storage.write_bytes(note_of(lake.root, first.name), json.dumps(note).encode())
    capsys.readouterr()
    (again,) = map_shards(session, writer, "lengths", measure(), stacks)
    assert again.data.sha256 == first.data.sha256
    assert (tmp_path / "victim").is_dir()
    events = map(json.loads, capsys.readouterr().out.splitlines())
    (told,) = (event for event in events if event["event"] == "damaged")
    assert "'shards/../../victim' is no file of a lake" in told["message"]


@pytest.mark.parametrize(("rows", "beside"), [(-1, 1), (1, 3)])
def test_a_map_that_loses_or_invents_a_row_fails_with_one_line_and_leaves_no_shard(
    session: Session,
    lake: Lake,
    documents_artifact: Make,
    writer: Writer,
    rows: int,
    beside: int,
) -> None:
    stacks = documents_artifact(lake, ROWS[:2]).stacks()
    wrong = measure(apply=partial(off_by, rows=rows))
    with pytest.raises(PythonException) as caught:
        map_shards(session, writer, "lengths", wrong, stacks)
    told = str(failure_in("lengths", caught.value))
    assert told == f"lengths: 2 rows in, {beside} beside them; please report this"
    assert files_of(lake, "lengths") == {}


def test_what_is_made_of_rows_and_no_layer_may_have_any_number_of_them(
    session: Session, lake: Lake, documents_artifact: Make, writer: Writer
) -> None:
    stacks = documents_artifact(lake, ROWS[:4]).stacks()
    loose = measure(apply=partial(off_by, rows=1), layer=False)
    (made,) = map_shards(session, writer, "lengths", loose, stacks)
    assert (made.counts.rows_in, made.data.rows) == (4, 5)


def test_a_layer_stands_beside_the_rows_and_drops_some(
    session: Session, lake: Lake, documents_artifact: Make, writer: Writer
) -> None:
    documents = documents_artifact(lake, ROWS, shards=2)
    made = map_shards(session, writer, "lengths", measure(), documents.stacks())
    files = [*documents.require().files, *layer_files(made, 1)]
    writer.commit(Counts(9, 5, {"long": 4}), files=files)
    stacks = writer.artifact.stacks()
    rows = [
        row
        for stack in stacks
        for batch in read_rows(lake.root, stack, ["text", "length"])
        for row in batch.to_pylist()
    ]
    assert [(row["text"], row["length"]) for row in rows] == [("x" * n, n) for n in range(1, 6)]
    names = [column["name"] for column in schema_of(lake.root, stacks)]
    assert names[-1] == "length"
    assert "reject_reason" not in names
    counted = count(session, stacks)
    assert [(c.rows_in, c.rows_out) for c in counted] == [(4, 4), (5, 1)]


def test_of_no_stacks_no_shards_are_made(session: Session, writer: Writer) -> None:
    assert map_shards(session, writer, "lengths", measure(), []) == []


def test_a_tally_counts_the_kept_texts_and_the_dropped_rows_by_reason() -> None:
    sizes = [pa.array([1, 2]), pa.array([4, 8])]
    reasons = [pa.array([None, "b"]), pa.array(["a", "b"])]
    assert tally(sizes, reasons) == Counts(4, 1, {"a": 1, "b": 2}, {"bytes_text": 1})
    assert tally(sizes, []) == Counts(4, 4, {}, {"bytes_text": 15})
    assert tally([], []) == Counts(0, 0, {}, {"bytes_text": 0})


SHORTER = pa.schema([("text", pa.string()), ("n_bytes", pa.int32())])


def shorter(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Each text without its first character."""
    for batch in batches:
        texts = [text[1:] for text in batch.column("text").to_pylist()]
        columns = {"text": texts, "n_bytes": [len(text) for text in texts]}
        yield pa.RecordBatch.from_pydict(columns, SHORTER)


def test_a_step_may_change_texts_and_drop_rows_in_several_maps_and_counts_what_is_left(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(lake, ROWS, shards=2)
    task = Task(FILTER, lake, "several", FilterParameters(), {DOCUMENTS: documents})
    maps = [
        measure(most=6),
        measure(name="shorter", schema=SHORTER, apply=shorter),
        measure(most=3),
    ]
    made = commit_layers(Session(session.spark, lake.root), task, maps)
    assert made.counts == Counts(9, 4, {"long": 5}, {"bytes_text": 0 + 1 + 2 + 3})


def test_a_map_that_reads_a_column_that_no_layer_has_is_one_line(
    session: Session, lake: Lake, documents_artifact: Make, writer: Writer
) -> None:
    stacks = documents_artifact(lake, ROWS).stacks()
    with pytest.raises(PythonException) as caught:
        map_shards(session, writer, "lengths", measure(reads=("text", "dup")), stacks)
    said = str(failure_in("lengths", caught.value))
    assert said == (
        "lengths: no layer of its rows has the column 'dup'; run the step that makes it before"
    )
    assert not files_of(lake, "lengths")
