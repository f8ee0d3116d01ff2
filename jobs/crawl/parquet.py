"""Parquet tables as crawl files: the columns `url`, `text` or `html`, `date`; one record a row.

There are as many records as the footer says rows: those of a row group that cannot be read, or that
has fewer rows than that, are damaged, each of them; rows read before the damage stay. A value that
is none (a string that is no UTF-8, a date after the year 9999) is missing in its row alone.

What a few bytes can stand for has bounds: a value longer than any page is never made a Python
object, so many rows are decoded at once as are sure to fit (a value of a dictionary is stored once,
however often it is named), and a file's rows have at most so many bytes as a compressed file
(`jobs.crawl.compressed.most_bytes`).
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.crawl.compressed import FREE_BYTES, most_bytes
from jobs.crawl.counted import StoreFailed
from jobs.crawl.kinds import PARQUET_MAGIC
from jobs.crawl.record import DAMAGED, UNREADABLE, Found, Record, caught, said
from jobs.crawl.rows import COLUMNS, Long, row_record

ROWS_PER_BATCH = 256
BATCH_BYTES = 1 << 27
COLUMN_BYTES = FREE_BYTES // 4
"""What a column of a row group may have beyond what its stored bytes can stand for."""
ROWS_BELIEVED = 1 << 20
"""Of a row group that cannot be read, so many rows are believed in at least: with more of them than
the file has bytes the footer lies, and they are one record."""
DICTIONARY_PAGE = re.compile(rb"\x15\x04\x15([\x80-\xff]{0,4}[\x00-\x7f])", re.DOTALL)
"""How the header of a dictionary's page begins: its type, its size (Thrift's compact protocol)."""
TOO_MUCH = "more bytes than so small a file may stand for"
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
    index, row, left = 0, sum(sizes[:first_group]), most_bytes(size_bytes)
    for group in groups[first_group:end_group]:
        end = row + sizes[group]
        damage = "fewer rows than the footer says"
        try:
            for batch in _batches(raw, table, group, columns):
                left -= batch.nbytes
                if left < 0:
                    damage = TOO_MUCH
                    break
                for values in _python_rows(batch, max_page_bytes):
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


def _batches(
    raw: IO[bytes], table: pq.ParquetFile, group: int, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    """The rows of a row group, so many at once as are sure to fit; dictionaries are resolved, and
    columns of a type that no value here has are null. Raises ValueError for a column that its
    stored bytes do not bear."""
    stored = table.metadata.row_group(group)
    chunks = [stored.column(number) for number in range(stored.num_columns)]
    chunks = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns]
    for chunk in chunks:
        if chunk.total_uncompressed_size > most_bytes(chunk.total_compressed_size, COLUMN_BYTES):
            raise ValueError(f"{chunk.path_in_schema}: {TOO_MUCH}")
    rows = min([ROWS_PER_BATCH, *(_rows_at_once(raw, chunk) for chunk in chunks)])
    for batch in table.iter_batches(rows, row_groups=[group], columns=columns):
        yield pa.record_batch(list(map(_plain, batch.columns)), batch.schema.names)


def _rows_at_once(raw: IO[bytes], chunk: Any) -> int:
    """How many rows of a column are sure to have no more than BATCH_BYTES: by their mean, where
    each is stored; where a row may name what is stored once, by the most that it can be."""
    size_bytes: int = max(1, chunk.total_uncompressed_size)
    if "DELTA_BYTE_ARRAY" in chunk.encodings:  # a prefix may be as long as all before
        return 1
    rows: int = BATCH_BYTES * max(1, chunk.num_values) // size_bytes
    if any("DICTIONARY" in encoding for encoding in chunk.encodings):
        rows = min(rows, BATCH_BYTES // (_dictionary_bytes(raw, chunk) or size_bytes))
    return max(1, rows)


def _dictionary_bytes(raw: IO[bytes], chunk: Any) -> int:
    """The size of a column's dictionary by its page's own header; 0 where there is none to read."""
    raw.seek(chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset)
    found = DICTIONARY_PAGE.match(raw.read(16))
    return sum((byte & 127) << 7 * n for n, byte in enumerate(found[1])) >> 1 if found else 0


def _plain(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    if _is_bytes(column.type) or pa.types.is_temporal(column.type):
        return column
    return pa.nulls(len(column))


def _is_bytes(kind: pa.DataType) -> bool:
    is_text: bool = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_binary: bool = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return is_text or is_binary


def _python_rows(batch: pa.RecordBatch, limit_bytes: int) -> list[dict[str, Any]]:
    """The rows as Python has them; instead of a value of more than `limit_bytes` its length."""
    columns = [_python_values(column, limit_bytes) for column in batch.columns]
    names = batch.schema.names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _python_values(column: pa.Array, limit_bytes: int) -> list[Any]:
    if _is_bytes(column.type):
        lengths = pc.binary_length(column)
        if (pc.max(lengths).as_py() or 0) > limit_bytes:
            return [
                Long(length) if (length or 0) > limit_bytes else _value(scalar)
                for scalar, length in zip(column, lengths.to_pylist(), strict=True)
            ]
    try:
        values: list[Any] = column.to_pylist()
    except Exception:
        return list(map(_value, column))
    return values


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
