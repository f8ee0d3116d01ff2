"""Crawl files that are no archives: an HTML page, a text, JSONL and Parquet tables. One record a page or row."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.crawl.archives import is_binary
from jobs.crawl.compressed import pieces
from jobs.crawl.record import DAMAGED, NOT_HTML_OR_TEXT, TOO_LARGE, UNREADABLE, Record

ROWS_PER_BATCH = 256
COLUMNS = ("url", "text", "html", "date")


def whole(raw: IO[bytes], codec: str, url: str, kind: str, max_page_bytes: int) -> Iterator[Record]:
    """A file that is one document: `html` to extract from, or `text` to keep as it is."""
    parts: list[bytes] = []
    size = 0
    broken = False
    for piece in pieces(raw, codec):
        broken |= piece.broken
        size += len(piece.data)
        if size > max_page_bytes:
            yield Record(
                0,
                0,
                kind,
                url,
                size=size,
                reason=TOO_LARGE,
                detail=f"more than {max_page_bytes} bytes",
            )
            return
        parts.append(piece.data)
    body = b"".join(parts)
    mime = "text/html" if kind == "html" else "text/plain"
    if broken:
        yield Record(
            0, 0, kind, url, mime=mime, size=size, reason=DAMAGED, detail="broken compression"
        )
    elif is_binary(body):
        yield Record(0, 0, kind, url, size=size, reason=NOT_HTML_OR_TEXT, detail="binary content")
    else:
        yield Record(0, 0, kind, url, mime=mime, payload=body, size=size)


def json_lines(raw: IO[bytes], codec: str, url: str, max_page_bytes: int) -> Iterator[Record]:
    """One JSON object a line with `url` and `text` or `html`; blank lines are no records."""
    index = offset = 0
    for line, broken in _lines(raw, codec, 4 * max_page_bytes + 65536):
        here, offset = offset, offset + len(line)
        if broken:
            yield Record(index, here, "row", reason=DAMAGED, size=len(line), detail=broken)
        elif line.strip():
            yield _json_row(index, here, line, url, max_page_bytes)
        else:
            continue
        index += 1


def _lines(raw: IO[bytes], codec: str, limit_bytes: int) -> Iterator[tuple[bytes, str]]:
    """Lines with their ends, and what is wrong with one: damage in it, or more bytes than any page may have."""
    rest = bytearray()
    for piece in pieces(raw, codec):
        start = len(rest)
        rest += piece.data
        done = 0
        while (end := rest.find(b"\n", max(start, done))) >= 0:
            yield bytes(rest[done : end + 1]), ""
            done = end + 1
        del rest[:done]
        if piece.broken:
            yield bytes(rest), "broken compression"
            rest.clear()
        if len(rest) > limit_bytes:
            yield bytes(rest), f"a line of more than {limit_bytes} bytes"
            rest.clear()
    if rest:
        yield bytes(rest), ""


def _json_row(index: int, offset: int, line: bytes, url: str, max_page_bytes: int) -> Record:
    try:
        values = json.loads(line)
    except ValueError as error:
        return Record(
            index, offset, "row", size=len(line), reason=DAMAGED, detail=f"no JSON: {error}"[:200]
        )
    if not isinstance(values, dict):
        return Record(index, offset, "row", size=len(line), reason=DAMAGED, detail="no JSON object")
    return _row(index, offset, len(line), values, url, max_page_bytes)


def parquet_rows(raw: IO[bytes], url: str, max_page_bytes: int) -> Iterator[Record]:
    """The rows of a Parquet file with the columns `url` and `text` or `html`; a broken row group is one damaged record."""
    try:
        table = pq.ParquetFile(raw)
    except (pa.ArrowException, OSError) as error:
        yield Record(0, 0, "row", reason=UNREADABLE, detail=f"Parquet: {error}"[:200])
        return
    columns = [name for name in COLUMNS if name in table.schema_arrow.names]
    if not {"text", "html"} & set(columns):
        yield Record(
            0, 0, "row", reason=UNREADABLE, detail="Parquet without a column `text` or `html`"
        )
        return
    index = row = 0
    for group in range(table.num_row_groups):
        end = row + table.metadata.row_group(group).num_rows
        try:
            for batch in table.iter_batches(ROWS_PER_BATCH, row_groups=[group], columns=columns):
                for values in batch.to_pylist():
                    yield _row(index, row, 0, values, url, max_page_bytes)
                    index, row = index + 1, row + 1
        except (pa.ArrowException, OSError) as error:
            yield Record(
                index,
                row,
                "row",
                reason=DAMAGED,
                detail=f"row group {group}, {end - row} rows: {error}"[:200],
            )
            index += 1
        row = end


def _row(
    index: int, offset: int, size: int, values: dict[str, Any], url: str, max_page_bytes: int
) -> Record:
    text, html = values.get("text"), values.get("html")
    own = values.get("url")
    where = own if isinstance(own, str) and own else f"{url}#{index}"
    date = _date(values.get("date"))
    content = text if isinstance(text, str) else html
    if isinstance(content, bytes):
        content = content.decode("utf-8", "replace")
    if not isinstance(content, str):
        return Record(
            index,
            offset,
            "row",
            where,
            date,
            size=size,
            reason=DAMAGED,
            detail="no string `text` or `html`",
        )
    try:
        payload = content.encode()
    except UnicodeEncodeError:
        content = content.encode("utf-8", "replace").decode()
        payload = content.encode()
    if len(payload) > max_page_bytes:
        return Record(
            index,
            offset,
            "row",
            where,
            date,
            size=len(payload),
            reason=TOO_LARGE,
            detail=f"{len(payload)} bytes",
        )
    if content is html:
        return Record(
            index, offset, "row", where, date, "text/html", "utf-8", payload, size=len(payload)
        )
    return Record(
        index, offset, "row", where, date, "text/plain", "utf-8", text=content, size=len(payload)
    )


def _date(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
