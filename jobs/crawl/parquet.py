"""Parquet tables as crawl files: the columns `url`, `text` or `html`, `date`; one record a row.

There are as many records as the footer says rows: those of a row group that cannot be read, or that
has fewer rows than that, are damaged, each of them; rows read before the damage stay. A value that
is none (a string that is no UTF-8, a date after the year 9999) is missing in its row alone.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.crawl.counted import StoreFailed
from jobs.crawl.kinds import PARQUET_MAGIC
from jobs.crawl.record import DAMAGED, UNREADABLE, Found, Record, caught, said
from jobs.crawl.rows import COLUMNS, row_record

ROWS_PER_BATCH = 256
ROWS_BELIEVED = 1 << 20
"""Of a row group that cannot be read, so many rows are believed in at least: with more of them than
the file has bytes the footer lies, and they are one record."""
BROKEN = (pa.ArrowException, OSError, ValueError)
Metadata = Any  # pyarrow.parquet.FileMetaData


def parquet_rows(
    raw: IO[bytes],
    url: str,
    max_page_bytes: int,
    first_group: int = 0,
    end_group: int | None = None,
    found: Found | None = None,
) -> Iterator[Record]:
    """The rows of the row groups [first_group, end_group) of a file; `url` is the file's own.
    `found` gets the bytes of these groups, by their share of the file."""
    size_bytes = raw.seek(0, 2)
    try:
        table = pq.ParquetFile(raw)
        columns = columns_of(table.metadata)
    except StoreFailed:
        raise
    except Exception as error:
        yield Record(0, 0, "", url, reason=UNREADABLE, detail=f"Parquet: {said(error)}")
        return
    if not columns:
        detail = "Parquet without a column `text` or `html`"
        yield Record(0, 0, "", url, reason=UNREADABLE, detail=detail)
        return
    groups = range(table.num_row_groups)
    sizes = [max(0, table.metadata.row_group(group).num_rows) for group in groups]
    if found is not None:
        stored = [table.metadata.row_group(group).total_byte_size for group in groups]
        found.bytes_read = _share(stored, size_bytes, first_group, end_group)
    index, row = 0, sum(sizes[:first_group])
    for group in groups[first_group:end_group]:
        end = row + sizes[group]
        damage = "fewer rows than the footer says"
        try:
            for batch in table.iter_batches(ROWS_PER_BATCH, row_groups=[group], columns=columns):
                for values in _python_rows(batch):
                    make = partial(row_record, index, row, 0, values, url, max_page_bytes)
                    yield caught(make, Record(index, row, "row"))
                    index, row = index + 1, row + 1
        except StoreFailed:
            raise
        except Exception as error:  # Arrow has no narrower one: MemoryError and RuntimeError too
            damage = said(error)
        detail = f"row group {group}, {end - row} of {sizes[group]} rows: {damage}"
        last = end if end - row <= max(ROWS_BELIEVED, size_bytes) else row + 1
        for lost in range(row, last):
            where = f"{url}#{lost}"
            yield Record(index, lost, "row", where, reason=DAMAGED, detail=detail)
            index += 1
        row = end


def _share(sizes: Sequence[int], size_bytes: int, first: int, end: int | None) -> int:
    """Bytes of the file that belong to row groups of these sizes; all groups share all bytes."""
    total = max(1, sum(sizes))
    before, through = sum(sizes[:first]), sum(sizes[:end])
    whole = first == 0 and (end is None or end >= len(sizes))
    return size_bytes if whole else size_bytes * through // total - size_bytes * before // total


def _python_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except Exception:
        columns = {name: [_value(scalar) for scalar in batch[name]] for name in batch.schema.names}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return rows


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except Exception:
        return None


def footer(raw: IO[bytes]) -> Metadata | None:
    """The metadata of a table that can be read, None of any other file. Reads plainly: an error of
    the network stays one and does not look like damage."""
    size = raw.seek(0, 2)
    raw.seek(max(0, size - 8))
    tail = raw.read(8)
    start = size - 8 - int.from_bytes(tail[:4], "little")
    if tail[4:] != PARQUET_MAGIC or start < len(PARQUET_MAGIC):
        return None
    raw.seek(start)
    stored = pa.BufferReader(PARQUET_MAGIC + raw.read())
    try:
        metadata = pq.read_metadata(stored)
        return metadata if columns_of(metadata) else None
    except BROKEN:
        return None


def columns_of(metadata: Metadata) -> list[str]:
    """The columns to read; none of a table without texts. Raises one of BROKEN."""
    names = metadata.schema.to_arrow_schema().names
    return [name for name in COLUMNS if name in names] if {"text", "html"} & set(names) else []
