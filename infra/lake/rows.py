"""Rows of documents, found and not copied: a shard is a stack of files, each written once.

The first layer of a stack has one row a document with its text. A later layer made shard by shard
(its file lies under `shards/`) has one row for each row that the layers before it left; its columns
come before theirs, and a `reject_reason` that is not null drops the row. A layer made by a step
that sees all rows at once (its files lie in the artifact's own folder, one for a range of shards)
lists the rows that it keeps by `shard` and `row`, the row's number in the first layer; it adds
columns and replaces none.
"""

import contextlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra import storage
from infra.errors import GristmillError
from infra.lake import parquet
from infra.lake.shards import name_of
from infra.manifest import Manifest

BATCH_ROWS = 256
BATCH_BYTES = 4 << 20
"""Of a batch of several rows, which is about what its texts have: what works on texts takes up to a
hundred times their size."""
ROW = "row"
REASON = "reject_reason"
DOCUMENTS = "documents"
"""The role of an artifact whose rows are documents, to a step that reads it."""


@dataclass(frozen=True)
class Stack:
    """One shard of an artifact with rows of documents.

    shard       its number in the artifact
    layers      paths of the files that were made shard by shard, the first one first
    keyed       paths of the files that list kept rows of this shard among others, one a step
    size_bytes  of its layers
    """

    shard: int
    layers: tuple[str, ...]
    keyed: tuple[str, ...] = ()
    size_bytes: int = 0

    @property
    def names(self) -> list[str]:
        """The names of its layers' shards: what a map over it is made from."""
        return [name_of(path) for path in self.layers]


def stacks_of(manifest: Manifest) -> list[Stack]:
    """The shards of an artifact with rows of documents, in order."""
    layers: dict[int, dict[int, str]] = {}
    sizes: dict[int, int] = {}
    keyed: dict[int, list[tuple[int, str]]] = {}
    for entry in manifest.files:
        if entry.shard < 0 or entry.layer < 0 or entry.is_rejected:
            continue
        if entry.is_shard:
            layers.setdefault(entry.shard, {})[entry.layer] = entry.path
            sizes[entry.shard] = sizes.get(entry.shard, 0) + entry.size_bytes
        else:
            keyed.setdefault(entry.layer, []).append((entry.shard, entry.path))
    starts = {layer: sorted(files) for layer, files in sorted(keyed.items())}
    return [
        Stack(
            shard,
            tuple(path for _, path in sorted(layers[shard].items())),
            tuple(_covering(files, shard) for files in starts.values()),
            sizes[shard],
        )
        for shard in sorted(layers)
    ]


def _covering(files: list[tuple[int, str]], shard: int) -> str:
    """The file whose range of shards holds this one: the last that begins at or before it."""
    return files[bisect_right(files, shard, key=lambda file: file[0]) - 1][1]


def read_rows(
    root: str,
    stack: Stack,
    columns: Sequence[str],
    *,
    keyed: bool = True,
    judged: bool = False,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """The rows of a shard in order: `row` and the columns that any of its files has.

    keyed       leave out what the steps that see all rows at once have dropped, give their columns
    judged      also give the rows that the last layer drops, and its `reject_reason`
    batch_rows  rows looked at together; a batch has at most so many, and at most BATCH_BYTES or one
                row

    Only these columns are read, and the reasons, a row group at a time. Raises GristmillError for a
    file with more or fewer rows than the files before it left.
    """
    with contextlib.ExitStack() as opened:
        files = [_Layer(opened, root, path) for path in stack.layers]
        readers = _chosen(files, columns)
        known = {ROW}.union(*(file.names for file in files))
        kept = _listings(root, stack, [n for n in columns if n not in known]) if keyed else []
        for first, last in files[0].ranges(batch_rows):
            found = pa.table({ROW: pa.array(np.arange(first, last, dtype=np.int32))})
            for reader in readers:
                for name, values in reader.take(found.num_rows):
                    found = found.append_column(name, values)
                if REASON in found.column_names and not (judged and reader is files[-1]):
                    found = found.filter(pc.is_null(found[REASON])).drop_columns([REASON])
            for listing in kept:
                found = listing.among(found)
            if found.num_rows:
                names = [n for n in (ROW, *columns, REASON) if n in found.column_names]
                for batch in found.select(dict.fromkeys(names)).combine_chunks().to_batches():
                    yield from _halves(batch)
        for reader in readers:
            reader.require_end()


def _halves(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in batches of at most BATCH_BYTES, or of one row."""
    if rows.nbytes <= BATCH_BYTES or rows.num_rows == 1:
        yield rows
        return
    half = rows.num_rows // 2
    yield from _halves(rows.slice(0, half))
    yield from _halves(rows.slice(half))


def _chosen(files: Sequence["_Layer"], columns: Sequence[str]) -> list["_Layer"]:
    """The files that must be read, each set to the columns that it gives."""
    owner = {name: file for file in files for name in file.names}
    readers = []
    for file in files:
        wanted = [name for name in dict.fromkeys(columns) if owner.get(name) is file]
        if REASON in file.names and REASON not in wanted:
            wanted.append(REASON)
        if wanted:
            file.read(wanted)
            readers.append(file)
    return readers


class _Layer:
    """A file of a stack, read forward, as many rows at a time as its reader asks for."""

    def __init__(self, opened: contextlib.ExitStack, root: str, path: str) -> None:
        self._uri = storage.join(root, path)
        self._file = pq.ParquetFile(opened.enter_context(storage.open_read(self._uri)))
        self.names: list[str] = self._file.schema_arrow.names
        self.rows: int = self._file.metadata.num_rows

    def ranges(self, rows: int) -> Iterator[tuple[int, int]]:
        """(first, last + 1) of at most so many rows of one row group, from the first row on."""
        start = 0
        for group in range(self._file.num_row_groups):
            end = start + self._file.metadata.row_group(group).num_rows
            for first in range(start, end, rows):
                yield first, min(first + rows, end)
            start = end

    def read(self, columns: list[str]) -> None:
        """Give these columns from now on."""
        self._columns = columns
        self._batches = parquet.grouped_batches(self._file, columns, BATCH_ROWS)
        fields = self._file.schema_arrow
        self._schema = pa.schema([fields.field(name) for name in columns])
        self._waiting = pa.RecordBatch.from_pylist([], self._schema)
        self._left = self.rows

    def take(self, rows: int) -> Iterator[tuple[str, pa.ChunkedArray]]:
        """The columns of the next rows, by name."""
        if rows > self._left:
            raise self._damaged("fewer")
        self._left -= rows
        parts = []
        while rows:
            if not self._waiting.num_rows:
                self._waiting = next(self._batches).select(self._columns)
            parts.append(self._waiting.slice(0, rows))
            self._waiting = self._waiting.slice(parts[-1].num_rows)
            rows -= parts[-1].num_rows
        table = pa.Table.from_batches(parts, self._schema)
        return zip(table.column_names, table.columns, strict=True)

    def require_end(self) -> None:
        """Raises GristmillError when rows are left."""
        if self._left:
            raise self._damaged("more")

    def _damaged(self, how: str) -> GristmillError:
        return GristmillError(
            f"{self._uri}: {how} rows than the files before it left;"
            " remove the artifact and its shards, and run its step again"
        )


class _Listing:
    """The rows of one shard that a step which saw all rows has kept."""

    def __init__(self, table: pa.Table) -> None:
        self._columns = table.drop_columns([ROW])
        numbers = table[ROW].to_numpy()
        self._place = np.full(numbers.max(initial=-1) + 1, -1)
        self._place[numbers] = np.arange(len(numbers))

    @property
    def names(self) -> list[str]:
        """The columns that it gives."""
        names: list[str] = self._columns.column_names
        return names

    def among(self, found: pa.Table) -> pa.Table:
        """Those rows of `found` that it lists, with its own columns beside them."""
        numbers = found[ROW].to_numpy()
        inside = numbers < len(self._place)
        place = np.full(len(numbers), -1)
        place[inside] = self._place[numbers[inside]]
        found = found.filter(pa.array(place >= 0))
        beside = self._columns.take(pa.array(place[place >= 0]))
        for name in self.names:
            found = found.append_column(name, beside[name])
        return found


def _listings(root: str, stack: Stack, columns: Sequence[str]) -> list[_Listing]:
    """What the steps that saw all rows kept of this shard; a column comes from the last of them."""
    found: list[_Listing] = []
    missing = list(columns)
    for path in reversed(stack.keyed):
        found.append(_Listing(parquet.read(root, path, [ROW, *missing], ("shard", stack.shard))))
        missing = [name for name in missing if name not in found[-1].names]
    return found
