"""Rows of documents: any stack is read as a reader with all of it in memory would say."""

import dataclasses
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra import storage
from infra.errors import GristmillError
from infra.lake.parquet import RowsFile
from infra.lake.rows import REASON, ROW, Stack, read_rows, stacks_of
from infra.manifest import Counts, FileEntry, Identity, Manifest

Row = dict[str, Any]
LAYER_COLUMNS = ["a", "b", "c"]
KEYED_COLUMNS = ["b", "d", "e"]
IDENTITY = Identity("documents", "filter", 1, {}, {})
FOLDERS = count()


@dataclass
class Model:
    """A shard in memory: its rows by number, and who gives and drops what."""

    rows: dict[int, Row]
    layers: list[list[str]] = field(default_factory=list)
    reasons: dict[int, str | None] = field(default_factory=dict)
    """What the last layer says of the rows that it was given."""
    judged: bool = False
    """Whether the last layer judges."""
    listed: list[dict[int, Row]] = field(default_factory=list)

    def left(self) -> list[int]:
        """The numbers of the rows that no layer has dropped."""
        return [number for number in self.rows if self.reasons.get(number) is None]

    def add(self, columns: list[str], values: list[Row], reasons: list[str | None] | None) -> None:
        """Put a layer over the rows that are left."""
        numbers = self.left()
        self.rows = {number: self.rows[number] for number in numbers}
        for number, row in zip(numbers, values, strict=True):
            self.rows[number] = {**self.rows[number], **row}
        self.layers.append(columns)
        self.judged = reasons is not None
        self.reasons = dict(zip(numbers, reasons, strict=True)) if reasons else {}

    def read(self, columns: list[str], keyed: bool, judged: bool) -> list[Row]:
        """What `read_rows` must give."""
        names = {name for layer in self.layers for name in layer}
        beside = [name for name in columns if name not in names]
        found = []
        for number in self.rows if judged else self.left():
            if keyed and any(number not in listed for listed in self.listed):
                continue
            row = {name: self.rows[number][name] for name in columns if name in names}
            for listed in self.listed if keyed else ():
                row.update({n: listed[number][n] for n in beside if n in listed[number]})
            if judged and self.judged:
                row[REASON] = self.reasons[number]
            found.append({ROW: number, **row})
        return found


class Written:
    """Files of an artifact, written as its steps would."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.files: list[FileEntry] = []

    def write(self, path: str, rows: list[Row], schema: pa.Schema, group_rows: int) -> FileEntry:
        """A file with row groups of this many rows."""
        with RowsFile(self.root, path, schema, grouped=True) as file:
            for start in range(0, len(rows), group_rows):
                made = rows[start : start + group_rows]
                file.write(pa.RecordBatch.from_pylist(made, schema))
                file.end_group()
        assert file.entry is not None
        return file.entry

    def add(
        self, path: str, rows: list[Row], schema: pa.Schema, shard: int, layer: int, groups: int = 3
    ) -> None:
        """A file of the artifact."""
        entry = self.write(path, rows, schema, groups)
        self.files.append(dataclasses.replace(entry, shard=shard, layer=layer))

    def stacks(self) -> list[Stack]:
        """As a reader of the artifact finds them."""
        return stacks_of(
            Manifest(
                format=3,
                kind=IDENTITY.kind,
                name="default",
                digest=IDENTITY.digest,
                **IDENTITY.declared(),
                files=self.files,
                content="",
                counts=Counts(),
            )
        )


def schema_of(columns: list[str], *, reason: bool = False, keys: bool = False) -> pa.Schema:
    """Integer columns, and those that layers or listings have besides."""
    fields = [("shard", pa.int32()), (ROW, pa.int32())] if keys else []
    fields += [(name, pa.int64()) for name in columns]
    return pa.schema([*fields, *([(REASON, pa.string())] if reason else [])])


def columns_from(names: list[str], min_size: int = 0) -> st.SearchStrategy[list[str]]:
    """Some of these columns, in any order."""
    return st.lists(st.sampled_from(names), unique=True, min_size=min_size)


@st.composite
def artifacts(draw: st.DrawFn, root: str) -> tuple[list[Stack], list[Model]]:
    """An artifact of some shards with some layers, some of them listings of all shards' rows."""
    shards = draw(st.integers(1, 3))
    written = Written(root)
    values = count()
    models = []
    for _ in range(shards):
        models.append(Model({n: {} for n in range(draw(st.integers(0, 12)))}))
    for layer in range(draw(st.integers(1, 4))):
        if layer and draw(st.booleans()):
            add_listing(draw, written, models, layer, values)
            continue
        columns = draw(columns_from(LAYER_COLUMNS, min_size=1))
        judges = bool(layer) and draw(st.booleans())
        groups = draw(st.integers(1, 15))
        for shard, model in enumerate(models):
            size = len(model.left())
            made = [{name: next(values) for name in columns} for _ in range(size)]
            reason = st.sampled_from([None, None, "short", "long"])
            reasons = draw(st.lists(reason, min_size=size, max_size=size)) if judges else None
            rows: list[Row] = [dict(row) for row in made]
            for row, said in zip(rows, reasons or ()):
                row[REASON] = said
            path = f"shards/m{layer}/s{shard}-1.parquet"
            written.add(path, rows, schema_of(columns, reason=judges), shard, layer, groups)
            model.add(columns, made, reasons)
    return written.stacks(), models


def add_listing(
    draw: st.DrawFn, written: Written, models: list[Model], layer: int, values: "count[int]"
) -> None:
    """A step that saw all rows keeps some of those that are left: a file for a range of shards."""
    columns = draw(columns_from(KEYED_COLUMNS))
    width = draw(st.integers(1, len(models)))
    schema = schema_of(columns, keys=True)
    for first in range(0, len(models), width):
        rows: list[Row] = []
        for shard, model in enumerate(models[first : first + width], first):
            left = model.left()
            kept = [n for n in left if draw(st.booleans())]
            model.listed.append({n: {name: next(values) for name in columns} for n in kept})
            rows += [{"shard": shard, ROW: n, **model.listed[-1][n]} for n in kept]
        path = f"dedup/default/{layer}/part-{first}.parquet"
        written.add(path, rows, schema, first, layer, draw(st.integers(1, 9)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_stack_is_read_as_the_model_says(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = str(tmp_path_factory.getbasetemp() / f"stacks-{next(FOLDERS)}")
    stacks, models = data.draw(artifacts(root))
    columns = data.draw(columns_from(["a", "b", "c", "d", "e", "none"]))
    keyed, judged = data.draw(st.booleans()), data.draw(st.booleans())
    batch_rows = data.draw(st.integers(1, 20))
    assert [stack.shard for stack in stacks] == list(range(len(models)))
    for stack, model in zip(stacks, models, strict=True):
        found = list(
            read_rows(root, stack, columns, keyed=keyed, judged=judged, batch_rows=batch_rows)
        )
        assert all(0 < batch.num_rows <= batch_rows for batch in found)
        assert [row for batch in found for row in batch.to_pylist()] == model.read(
            columns, keyed, judged
        )
        assert all(batch.schema.field(ROW).type == pa.int32() for batch in found)


def two_layers(root: str, **changes: list[Row]) -> Stack:
    """Six rows with a text; of each second row a later layer says that it is dropped."""
    written = Written(root)
    rows: dict[str, list[Row]] = {
        "extract": [{"a": n, "b": 10 * n} for n in range(6)],
        "filter": [{"c": n, REASON: "odd" if n % 2 else None} for n in range(6)],
        "signals": [{"b": -n} for n in range(3)],
        **changes,
    }
    schemas = {
        "extract": schema_of(["a", "b"]),
        "filter": schema_of(["c"], reason=True),
        "signals": schema_of(["b"]),
    }
    for layer, (name, schema) in enumerate(schemas.items()):
        written.add(f"shards/{name}/ab-1.parquet", rows[name], schema, 0, layer)
    return written.stacks()[0]


def rows_of(root: str, stack: Stack, columns: list[str]) -> list[Row]:
    """All rows of a stack."""
    return [row for batch in read_rows(root, stack, columns) for row in batch.to_pylist()]


def spoil(root: str, path: str, *columns: str) -> None:
    """Overwrite the pages of these columns: who reads them fails."""
    uri = storage.join(root, path)
    data = bytearray(storage.read_bytes(uri))
    with storage.open_read(uri) as stream:
        metadata = pq.ParquetFile(stream).metadata
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(place)
            if chunk.path_in_schema in columns:
                start, size = chunk.dictionary_page_offset, chunk.total_compressed_size
                start = start or chunk.data_page_offset
                data[start : start + size] = b"\xff" * size
    storage.write_bytes(uri, bytes(data))


def test_a_stack_names_its_shards_and_its_size(root: str) -> None:
    stack = two_layers(root)
    assert stack.names == ["extract/ab", "filter/ab", "signals/ab"]
    uris = [storage.join(root, path) for path in stack.layers]
    assert stack.size_bytes == sum(len(storage.read_bytes(uri)) for uri in uris)
    assert stack.keyed == ()


def test_only_the_wanted_columns_and_the_reasons_are_read(root: str) -> None:
    stack = two_layers(root)
    spoil(root, "shards/extract/ab-1.parquet", "b")
    spoil(root, "shards/filter/ab-1.parquet", "c")
    spoil(root, "shards/signals/ab-1.parquet", "b")
    assert rows_of(root, stack, ["a"]) == [{ROW: n, "a": n} for n in (0, 2, 4)]
    for column in ("b", "c"):
        with pytest.raises(OSError):
            rows_of(root, stack, [column])


def test_a_column_that_a_later_layer_has_is_not_read_from_the_earlier_one(root: str) -> None:
    stack = two_layers(root)
    spoil(root, "shards/extract/ab-1.parquet", "a", "b")
    assert rows_of(root, stack, ["b"]) == [{ROW: n, "b": -n // 2} for n in (0, 2, 4)]
    assert rows_of(root, stack, []) == [{ROW: n} for n in (0, 2, 4)]


def test_without_the_steps_that_saw_all_rows_their_files_are_not_read(root: str) -> None:
    stack = dataclasses.replace(two_layers(root), keyed=("dedup/default/x/gone.parquet",))
    found = list(read_rows(root, stack, ["a"], keyed=False))
    assert sum(batch.num_rows for batch in found) == 3
    with pytest.raises(FileNotFoundError):
        list(read_rows(root, stack, ["a"]))


@pytest.mark.parametrize(
    ("name", "column", "rows", "how"),
    [
        ("filter", "c", 5, "fewer"),
        ("filter", "c", 7, "more"),
        ("signals", "b", 2, "fewer"),
        ("signals", "b", 4, "more"),
    ],
)
def test_a_layer_that_does_not_fit_is_an_error_that_names_it(
    root: str, name: str, column: str, rows: int, how: str
) -> None:
    empty: list[Row] = [{}] * rows
    stack = two_layers(root, **{name: empty})
    with pytest.raises(GristmillError, match=rf"{name}/ab-1\.parquet: {how} rows than"):
        rows_of(root, stack, [column])


def test_the_files_of_other_roles_are_no_layers(root: str) -> None:
    written = Written(root)
    schema = schema_of(["a"])
    written.add("shards/extract/ab-1.parquet", [{"a": 1}], schema, 0, 0)
    written.add("shards/extract/_rejected/ab-1.parquet", [{"a": 2}], schema, 0, 0)
    written.add("shards/signatures/ab-1.parquet", [{"a": 3}], schema, 0, -1)
    written.add("documents/default/x/report.parquet", [{"a": 4}], schema, -1, 0)
    (stack,) = written.stacks()
    assert (stack.layers, stack.keyed) == (("shards/extract/ab-1.parquet",), ())


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 1200), min_size=1, max_size=20))
def test_a_batch_of_several_rows_is_bounded_by_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    monkeypatch.setattr("infra.lake.rows.BATCH_BYTES", 1000)
    written = Written(str(tmp_path / f"{next(FOLDERS)}"))
    texts: list[Row] = [{"text": "x" * size} for size in sizes]
    path = "shards/extract/ab-1.parquet"
    written.add(path, texts, pa.schema([("text", pa.string())]), 0, 0)
    found = list(read_rows(written.root, written.stacks()[0], ["text"]))
    assert [row["text"] for batch in found for row in batch.to_pylist()] == [
        row["text"] for row in texts
    ]
    assert all(batch.num_rows == 1 or batch.nbytes <= 1000 for batch in found)


def test_a_large_shard_is_read_in_batches_of_any_size(tmp_path: Path) -> None:
    size = 100_000
    written = Written(str(tmp_path))
    numbers = pa.array(range(size), pa.int64())
    for layer, name in enumerate("abc"):
        schema = schema_of([name])
        with RowsFile(written.root, f"shards/{name}/x-1.parquet", schema) as file:
            for start in range(0, size, 500):
                file.write(pa.RecordBatch.from_arrays([numbers.slice(start, 500)], schema=schema))
        assert file.entry is not None
        written.files.append(dataclasses.replace(file.entry, shard=0, layer=layer))
    listed = schema_of([], keys=True)
    with RowsFile(written.root, "dedup/default/x/part-0.parquet", listed) as file:
        even = pa.array(range(0, size, 2), pa.int32())
        zeros = pa.array([0] * len(even), pa.int32())
        file.write(pa.RecordBatch.from_arrays([zeros, even], schema=listed))
    assert file.entry is not None
    written.files.append(dataclasses.replace(file.entry, shard=0, layer=3))
    (stack,) = written.stacks()
    for batch_rows in (100, size):
        batches = list(read_rows(written.root, stack, ["a", "b", "c"], batch_rows=batch_rows))
        found = pa.Table.from_batches(batches)
        assert found[ROW].to_pylist() == found["c"].to_pylist() == list(range(0, size, 2))
