"""Rows of documents, found and not copied: a shard is a stack of files, each written once.

The first layer of a stack has one row a document with its text. A later layer made shard by shard (its file lies under `shards/`) has
one row for each row that the layers before it left; its columns come before theirs, and a `reject_reason` that is not null drops the
row. A layer made by a step that sees all rows at once (its files lie in the artifact's own folder, one for a range of shards) lists the
rows that it keeps by `shard` and `row`, the row's number in the first layer.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra import storage
from infra.lake import parquet
from infra.lake.shards import name_of
from infra.manifest import SHARDS, Manifest

BATCH_ROWS = 256
ROW = "row"
REASON = "reject_reason"


@dataclass(frozen=True)
class Stack:
    """One shard of an artifact with rows of documents; `size_bytes`: of its layers.

    shard   its number in the artifact
    layers  paths of the files that were made shard by shard, the first one first
    keyed   paths of the files that list kept rows of this shard among others, one a step
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
        if entry.path.startswith(f"{SHARDS}/"):
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
    return next(path for first, path in reversed(files) if first <= shard)


def read_rows(
    root: str,
    stack: Stack,
    columns: Sequence[str],
    *,
    keyed: bool = True,
    judged: bool = False,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """The rows of a shard in order: `row` and the columns that any of its layers has.

    keyed    leave out what the steps that see all rows at once have dropped
    judged   also give the rows that the last layer drops, and its `reject_reason`
    """
    with contextlib.ExitStack() as opened:
        uris = [storage.join(root, path) for path in stack.layers]
        files = [_Layer(opened.enter_context(storage.open_read(uri))) for uri in uris]
        readers = _chosen(files, columns)
        here = {name for file in files for name in file.names}
        listed = [ROW, *(name for name in columns if name not in here)]
        kept = [parquet.read(root, path, listed, ("shard", stack.shard)) for path in stack.keyed]
        first = 0
        while (found := readers[0].take(batch_rows)).num_rows:
            numbers = pa.array(np.arange(first, first + found.num_rows, dtype=np.int32))
            first += found.num_rows
            found = found.append_column(ROW, numbers)
            for reader in readers[1:]:
                beside = reader.take(found.num_rows)
                for name in beside.column_names:
                    found = found.append_column(name, beside[name])
                if REASON in beside.column_names and not (judged and reader is files[-1]):
                    found = found.filter(pc.is_null(found[REASON])).drop_columns([REASON])
            if keyed:
                for table in kept:
                    found = _listed(found, table)
            if found.num_rows:
                names = [n for n in (ROW, *columns, REASON) if n in found.column_names]
                yield from found.select(dict.fromkeys(names)).combine_chunks().to_batches()


def _chosen(files: Sequence["_Layer"], columns: Sequence[str]) -> list["_Layer"]:
    """The files that must be read, each set to the columns that it gives; the first one always."""
    owner = {name: file for file in files for name in file.names}
    readers = []
    for file in files:
        wanted = [name for name in dict.fromkeys(columns) if owner.get(name) is file]
        if REASON in file.names and REASON not in wanted:
            wanted.append(REASON)
        if wanted or file is files[0]:
            file.read(wanted or file.names[:1])
            readers.append(file)
    return readers


def _listed(found: pa.Table, kept: pa.Table) -> pa.Table:
    """The rows whose number is in `kept`, with the other columns of `kept` beside them."""
    place = pc.index_in(found[ROW], kept[ROW].combine_chunks())
    mask = pc.is_valid(place)
    found, place = found.filter(mask), place.filter(mask)
    for name in kept.column_names:
        if name != ROW:
            found = found.append_column(name, kept[name].take(place))
    return found


class _Layer:
    """A file of a stack, read forward, as many rows at a time as its reader asks for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._file = pq.ParquetFile(stream)
        self.names: list[str] = self._file.schema_arrow.names

    def read(self, columns: Sequence[str]) -> None:
        """Give these columns from now on."""
        self._batches = self._file.iter_batches(BATCH_ROWS, columns=list(columns))
        schema = self._file.schema_arrow
        self._waiting = pa.schema([schema.field(name) for name in columns]).empty_table()

    def take(self, rows: int) -> pa.Table:
        """The next rows; fewer only at the end of the file."""
        while self._waiting.num_rows < rows:
            batch = next(self._batches, None)
            if batch is None:
                break
            more = pa.Table.from_batches([batch]).select(self._waiting.column_names)
            self._waiting = pa.concat_tables([self._waiting, more])
        taken, self._waiting = self._waiting.slice(0, rows), self._waiting.slice(rows)
        return taken
