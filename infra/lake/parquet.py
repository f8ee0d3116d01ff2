"""Parquet files of a lake: written once by whoever makes the rows, hashed on the way, read in part.

pyarrow's writer gives the same bytes for the same rows in the same batches, so equal results have
equal hashes.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra import storage
from infra.manifest import FileEntry

ROWS_PER_GROUP = 1000
BYTES_PER_GROUP = 64 << 20


class RowsFile:
    """A Parquet file being written below a lake's root; `entry` once it is whole.

    Row groups end behind the batch that fills ROWS_PER_GROUP rows or BYTES_PER_GROUP bytes;
    `grouped`: only where `end_group` says.
    """

    def __init__(self, root: str, path: str, schema: pa.Schema, *, grouped: bool = False) -> None:
        self.path = path
        self.schema = schema
        self.rows = 0
        self.entry: FileEntry | None = None
        self._uri = storage.join(root, path)
        self._grouped = grouped
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0

    def __enter__(self) -> "RowsFile":
        with contextlib.ExitStack() as stack:
            self._stream = stack.enter_context(storage.open_hashed(self._uri))
            writer = pq.ParquetWriter(self._stream, self.schema, compression="zstd")
            self._writer = stack.enter_context(writer)
            stack.push(self._end_last_group)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)
        if error[0] is None:
            size, sha256 = self._stream.size_bytes, self._stream.sha256
            self.entry = FileEntry(self.path, size, sha256, self.rows)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows; columns in any order, those that the schema lacks are left out."""
        if not batch.num_rows:
            return
        self._waiting.append(batch.select(self.schema.names).cast(self.schema))
        self.rows += batch.num_rows
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += self._waiting[-1].nbytes
        full = self._waiting_rows >= ROWS_PER_GROUP or self._waiting_bytes >= BYTES_PER_GROUP
        if full and not self._grouped:
            self.end_group()

    def end_group(self) -> None:
        """End the row group here."""
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self.schema)
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._waiting.clear()
            self._waiting_rows = self._waiting_bytes = 0

    def _end_last_group(self, *error: Any) -> None:
        if error[0] is None:
            self.end_group()


def read(
    root: str, path: str, columns: Sequence[str], where: tuple[str, int] | None = None
) -> pa.Table:
    """Columns of a file, those of them that it has.

    where  a column and a value: only the rows that have it; of row groups that cannot hold it, by
           their statistics, nothing is read
    """
    with storage.open_read(storage.join(root, path)) as stream:
        file = pq.ParquetFile(stream)
        names = [name for name in columns if name in file.schema_arrow.names]
        if where is None:
            return file.read(names)
        name, value = where
        groups = _groups(file, name, value)
        wanted = list(dict.fromkeys([*names, name]))
        table = file.read_row_groups(groups, wanted)
        return table.filter(pc.equal(table[name], value)).select(names)


def _groups(file: pq.ParquetFile, column: str, value: int) -> list[int]:
    """The row groups that may hold the value."""
    # Statistics are kept by leaf: a struct before the column moves its place.
    leaves = [file.schema.column(leaf).path for leaf in range(len(file.schema))]
    place = leaves.index(column)
    found = []
    for group in range(file.num_row_groups):
        known = file.metadata.row_group(group).column(place).statistics
        if known is None or not known.has_min_max or known.min <= value <= known.max:
            found.append(group)
    return found


def batches(
    root: str, path: str, columns: Sequence[str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """The rows of a file in order, only these columns, in their order."""
    with storage.open_read(storage.join(root, path)) as stream:
        for rows in grouped_batches(pq.ParquetFile(stream), columns, batch_rows):
            yield rows.select(list(columns))


def grouped_batches(
    file: pq.ParquetFile, columns: Sequence[str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """The rows of a file in order, never those of two row groups at once: these are bounded by
    bytes, the library's batches by rows alone."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(batch_rows, row_groups=[group], columns=list(columns))
