"""One record of a crawl file as one row of `documents`: a document, or why it is none.

In: a `Record`. Out: a dict with the columns of `SCHEMA`. The same record gives the same row
wherever and in whichever order it is read; a rejected row has no text. Whatever raises on the way
of one record, also memory that ran out, costs that record alone: it is rejected as `failed`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from infra.bounded import BudgetError, Crashed, OverMemory, OverTime
from infra.errors import GristmillError
from infra.show import well_formed
from jobs.crawl.addresses import parts_of
from jobs.crawl.archives import HTML_TYPES
from jobs.crawl.record import EMPTY, FAILED, TOO_MUCH_MEMORY, TOO_SLOW, Origin, Record, said
from jobs.page.reading import Page, Read, read_page
from jobs.text.language import language
from jobs.text.words import count_words

SCHEMA = pa.schema(
    [
        ("row_id", pa.binary()),
        ("doc_id", pa.binary()),
        ("url", pa.string()),
        ("domain", pa.string()),
        ("source", pa.string()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("fetched_at", pa.timestamp("us", tz="UTC")),
        ("mime", pa.string()),
        ("charset", pa.string()),
        ("lang", pa.string()),
        ("lang_score", pa.float32()),
        ("title", pa.string()),
        ("extractor", pa.string()),
        ("text", pa.string()),
        ("n_bytes", pa.int64()),
        ("n_chars", pa.int64()),
        ("n_words", pa.int64()),
        ("truncated", pa.string()),
        ("http_headers", pa.string()),
        ("evidence", pa.string()),
        ("reject_reason", pa.string()),
        ("detail", pa.string()),
    ]
)
"""What each column says: `jobs.columns.DOCUMENT`."""
OF_REJECTED = ("evidence", "reject_reason", "detail")
"""Columns that documents do not have."""
STRINGS = [
    field.name for field in SCHEMA if pa.types.is_string(field.type) and field.name != "text"
]
OVER_BUDGET: dict[type[BudgetError], str] = {
    OverTime: TOO_SLOW,
    OverMemory: TOO_MUCH_MEMORY,
    Crashed: FAILED,
}


def document(
    record: Record, origin: Origin, min_chars: int, read: Read = read_page
) -> dict[str, Any]:
    """The row of one record of a crawl file; a page with less than `min_chars` characters of main
    text is rejected as `empty`. Raises only what says that the machine failed, not the page.

    read  how the page is read: here and now, or within a budget by a `jobs.page.reading.PageReader`
    """
    try:
        return row(record, origin, min_chars, read)
    except GristmillError:
        raise
    except Exception as error:
        failed = replace(record, payload=b"", text=None, reason=FAILED, detail=said(error))
        return row(failed, origin, min_chars, read)


def row(record: Record, origin: Origin, min_chars: int, read: Read) -> dict[str, Any]:
    """As `document`; raises what the record makes others raise, and nothing for a rejected one."""
    reason, detail = record.reason, record.detail
    page = None
    if reason is None:
        try:
            page = content(record, read)
        except BudgetError as error:
            reason, detail = OVER_BUDGET[type(error)], str(error)
    if page is not None:
        size = len(page.text.strip())
        if size < min_chars:
            reason, detail = EMPTY, f"{size} characters of main text"
    kept = page.text if page is not None and reason is None else None
    lang, lang_score = language(kept) if kept is not None else (None, None)
    payload = record.payload if record.text is None else record.text.encode("utf-8", "replace")
    url = well_formed(record.url)
    return {
        "row_id": origin.row_id(record),
        "doc_id": doc_id(url or f"{origin.name}#{record.offset}.{record.index}", payload),
        "url": url,
        "domain": domain_of(url),
        "source": origin.source,
        "warc_file": origin.name,
        "warc_offset": record.offset,
        "fetched_at": record.date,
        "mime": well_formed(record.mime),
        "charset": (page.charset if page else well_formed(record.charset)) or None,
        "lang": lang,
        "lang_score": lang_score,
        "title": page.title if page else None,
        "extractor": page.extractor if page else None,
        "text": kept,
        "n_bytes": len((kept or "").encode("utf-8", "replace")),
        "n_chars": len(kept or ""),
        "n_words": count_words(kept) if kept else 0,
        "truncated": record.truncated or None,
        "http_headers": record.http_headers or None,
        "evidence": record.evidence.decode("utf-8", "replace") if record.evidence else None,
        "reject_reason": reason,
        "detail": (well_formed(detail) or None) if reason else None,
    }


def size_of(row: dict[str, Any]) -> int:
    """About how many bytes a row takes: those of its text, the letters of all others."""
    others = (row[name] for name in STRINGS)
    return int(row["n_bytes"]) + sum(len(value) for value in others if value)


def batches_of(rows: Sequence[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
    """Rows as batches of `SCHEMA`, in their order: one, or as many as it takes where some cannot be
    stored together. A row with a value that cannot be stored is rejected as `failed`."""
    try:
        made = [pa.RecordBatch.from_pylist(list(rows), SCHEMA)]
    except Exception as error:
        half = len(rows) // 2
        made = [] if half else [_without_its_values(rows[0], said(error))]
    if made:
        yield from made
    else:
        yield from batches_of(rows[:half])
        yield from batches_of(rows[half:])


def _without_its_values(row: dict[str, Any], detail: str) -> pa.RecordBatch:
    names = ("row_id", "doc_id", "source", "warc_file", "warc_offset")
    left = {name: row[name] for name in names} | dict.fromkeys(("n_bytes", "n_chars"), 0)
    left |= {"n_words": 0, "reject_reason": FAILED, "detail": detail}
    return pa.RecordBatch.from_pylist([left], SCHEMA)


def content(record: Record, read: Read) -> Page:
    """What a page says. Raises what `read` raises."""
    if record.text is not None:
        return Page(None, record.text, "utf-8", "verbatim")
    return read(record.payload, record.charset, record.mime in HTML_TYPES)


def doc_id(url: str, payload: bytes) -> bytes:
    """16 bytes that name a document: its URL and what was there, never where it was stored or in
    which order it was read."""
    return hashlib.blake2b(
        url.encode() + b"\0" + hashlib.sha256(payload).digest(), digest_size=16
    ).digest()


def domain_of(url: str) -> str:
    """The URL's host in lower case, without `www.` and port; empty where it has none."""
    parts = parts_of(url)
    return ((parts and parts.hostname) or "").removeprefix("www.")
