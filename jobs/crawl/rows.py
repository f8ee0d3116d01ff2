"""A row of a table (JSONL, Parquet) as a record: `url`, `text` or `html`, `date`."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from infra.show import well_formed
from jobs.crawl.record import DAMAGED, TOO_LARGE, Record

COLUMNS = ("url", "text", "html", "date")


class Long(int):
    """Stands for a value that is longer than any page: its bytes."""


def row_record(
    index: int, offset: int, size: int, values: Mapping[str, Any], url: str, max_page_bytes: int
) -> Record:
    """The record of one row: ready text, or HTML to extract from; `text` wins.

    offset and size are the row's own; url is the file's: a row without one is `url#offset`.
    Lone surrogates become `?`.
    """
    text, html, own = values.get("text"), values.get("html"), values.get("url")
    base = Record(
        index,
        offset,
        "row",
        well_formed(own) if isinstance(own, str) and own else f"{url}#{offset}",
        _date(values.get("date")),
        size=size,
    )
    content = text if isinstance(text, str | Long) else html
    if isinstance(content, Long):
        return replace(base, size=int(content), reason=TOO_LARGE, detail=f"{content:d} bytes")
    if isinstance(content, bytes):
        content = content.decode("utf-8", "replace")
    if not isinstance(content, str):
        return replace(base, reason=DAMAGED, detail="no string `text` or `html`")
    payload = content.encode("utf-8", "replace")
    if len(payload) > max_page_bytes:
        detail = f"{len(payload)} bytes"
        return replace(base, size=len(payload), reason=TOO_LARGE, detail=detail)
    if isinstance(text, str):
        return replace(
            base, mime="text/plain", charset="utf-8", text=payload.decode(), size=len(payload)
        )
    return replace(base, mime="text/html", charset="utf-8", payload=payload, size=len(payload))


def _date(value: object) -> datetime | None:
    """A time in UTC from an ISO 8601 string or a datetime; None for anything else."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return None
