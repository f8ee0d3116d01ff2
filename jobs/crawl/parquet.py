"""Parquet tables as crawl files: the columns `url`, `text` or `html`, `date`; one record a row.

A broken row group is one damaged record; a value that is none (a string that is no UTF-8, a date
after the year 9999) is missing in its row alone.
"""

from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.crawl.kinds import PARQUET_MAGIC
from jobs.crawl.record import DAMAGED, UNREADABLE, Record
from jobs.crawl.rows import COLUMNS, row_record

ROWS_PER_BATCH = 256
BROKEN = (pa.ArrowException, OSError, ValueError)
Metadata = Any  # pyarrow.parquet.FileMetaData


def parquet_rows(
    raw: IO[bytes],
    url: str,
    max_page_bytes: int,
    first_group: int = 0,
    end_group: int | None = None,
) -> Iterator[Record]:
    """The rows of the row groups [first_group, end_group) of a file; `url` is the file's own."""
    try:
        table = pq.ParquetFile(raw)
        columns = columns_of(table.metadata)
    except BROKEN as error:
        yield Record(0, 0, "row", url, reason=UNREADABLE, detail=f"Parquet: {error}"[:200])
        return
    if not columns:
        detail = "Parquet without a column `text` or `html`"
        yield Record(0, 0, "row", url, reason=UNREADABLE, detail=detail)
        return
    sizes = [table.metadata.row_group(group).num_rows for group in range(table.num_row_groups)]
    index, row = 0, sum(sizes[:first_group])
    for group in range(len(sizes))[first_group:end_group]:
        end = row + sizes[group]
        try:
            for batch in table.iter_batches(ROWS_PER_BATCH, row_groups=[group], columns=columns):
                for values in _python_rows(batch):
                    yield row_record(index, row, 0, values, url, max_page_bytes)
                    index, row = index + 1, row + 1
        except BROKEN as error:
            detail = f"row group {group}, {end - row} rows: {error}"[:200]
            yield Record(index, row, "row", f"{url}#{row}", reason=DAMAGED, detail=detail)
            index += 1
        row = end


def _python_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except (ValueError, OverflowError):
        columns = {name: [_value(scalar) for scalar in batch[name]] for name in batch.schema.names}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return rows


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
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
