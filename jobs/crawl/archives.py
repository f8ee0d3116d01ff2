"""WARC, WET and ARC frames as records: which are pages, and why the others are not."""

import functools
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import IO

from jobs.crawl import message
from jobs.crawl.compressed import pieces
from jobs.crawl.evidence import ROBOTS_BYTES, is_robots_txt, kept_headers
from jobs.crawl.framing import Frame, frames
from jobs.crawl.headers import ARC, HEADER_BYTES, WARC, Format
from jobs.crawl.record import (
    DAMAGED,
    HTTP_ERROR,
    HTTP_LENGTH,
    HTTP_PART,
    NOT_A_RESPONSE,
    NOT_HTML_OR_TEXT,
    REVISIT,
    ROBOTS_TXT,
    TOO_LARGE,
    UNSPECIFIED,
    Record,
    caught,
)
from jobs.crawl.stream import WINDOW_BYTES, Stream
from jobs.text.charset import wide_charset

HTML_TYPES = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")
TEXT_TYPES = ("text/plain", "text/markdown", "text/x-markdown")
HEADER_ALLOWANCE_BYTES = 1 << 20
ENCODING_ALLOWANCE = 2
BINARY_STARTS = (
    *(b"%PDF", b"PK\x03\x04", b"GIF8", b"\x89PNG", b"\xff\xd8\xff", b"\x1f\x8b"),
    *(b"RIFF", b"OggS", b"ID3", b"\x7fELF", b"wOFF", b"wOF2"),
)
DATE_PARTS = tuple(pairwise((0, 4, 6, 8, 10, 12, 14)))
UNICODE_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
HTML_STARTS = (b"<!doctype", b"<html", b"<head", b"<body", b"<title", b"<meta", b"<!--", b"<?xml")


def warc_records(raw: IO[bytes], codec: str, max_page_bytes: int) -> Iterator[Record]:
    """Every record of a WARC or WET file."""
    for index, frame in enumerate(_frames(raw, codec, max_page_bytes, WARC)):
        make = functools.partial(warc_record, index, frame, max_page_bytes)
        yield caught(make, Record(index, frame.offset, "", size=frame.size))


def arc_records(raw: IO[bytes], codec: str, max_page_bytes: int) -> Iterator[Record]:
    """Every record of an ARC file."""
    for index, frame in enumerate(_frames(raw, codec, max_page_bytes, ARC)):
        make = functools.partial(arc_record, index, frame, max_page_bytes)
        yield caught(make, Record(index, frame.offset, "", size=frame.size))


def _frames(raw: IO[bytes], codec: str, max_page_bytes: int, form: Format) -> Iterator[Frame]:
    block_bytes = ENCODING_ALLOWANCE * max_page_bytes + HEADER_ALLOWANCE_BYTES
    size = None if codec else raw.seek(0, io.SEEK_END)
    window_bytes = max(WINDOW_BYTES, block_bytes + 4 * HEADER_BYTES)
    stream = Stream(functools.partial(pieces, raw, codec), size, window_bytes)
    return frames(stream, form, block_bytes)


def warc_record(index: int, frame: Frame, max_page_bytes: int) -> Record:
    """One WARC frame as a record (WARC 1.1, section 6: the types)."""
    fields = frame.fields
    kind = fields.get("warc-type", "").lower()
    mime, charset = message.content_type(fields.get("content-type", ""))
    base = Record(
        index=index,
        offset=frame.offset,
        kind=kind,
        url=fields.get("warc-target-uri", "").strip("<> \t"),
        date=warc_date(fields.get("warc-date", "")),
        mime=mime,
        charset=charset,
        size=frame.size,
        truncated=frame.truncated or warc_truncated(fields.get("warc-truncated", "")),
    )
    if frame.damage:
        return _rejected(base, DAMAGED, frame.damage)
    if kind == "revisit":
        return _rejected(base, REVISIT, "")
    if kind == "conversion":
        return _page(base, frame.block, max_page_bytes)
    is_web = base.url.partition(":")[0].lower() in ("http", "https", "ftp", "file")
    if kind == "response" and (mime == "application/http" or frame.block.startswith(b"HTTP/")):
        return _http_page(base, frame, max_page_bytes)
    if kind in ("response", "resource") and is_robots_txt(base.url):
        return _robots(base, frame.block)
    if kind in ("response", "resource") and is_web:
        return _page(base, frame.block, max_page_bytes)
    return _rejected(base, NOT_A_RESPONSE, f"record of type {kind or 'unknown'}")


def arc_record(index: int, frame: Frame, max_page_bytes: int) -> Record:
    """One ARC frame as a record."""
    fields = frame.fields
    mime, charset = message.content_type(fields.get("mime", ""))
    url = fields.get("url", "")
    base = Record(
        index,
        frame.offset,
        "arc",
        url,
        arc_date(fields.get("date", "")),
        mime,
        charset,
        size=frame.size,
        truncated=frame.truncated,
    )
    if frame.damage:
        return _rejected(base, DAMAGED, frame.damage)
    if url.partition(":")[0].lower() in ("http", "https"):
        return _http_page(base, frame, max_page_bytes)
    return _rejected(base, NOT_A_RESPONSE, f"record of {url.partition(':')[0] or 'unknown origin'}")


def _http_page(base: Record, frame: Frame, max_page_bytes: int) -> Record:
    got = message.response(frame.block, max_page_bytes)
    is_given = frame.size <= len(frame.block)
    mime, charset = message.content_type(got.headers.get("content-type", ""))
    base = replace(
        base,
        mime=mime,
        charset=charset,
        http_headers=kept_headers(got.head),
        truncated=base.truncated or _truncated(got, is_given),
    )
    if got.status and is_robots_txt(base.url):
        body = got.body if 200 <= got.status < 300 else b""
        return _robots(base, body, f"status {got.status}")
    if got.status and not 200 <= got.status < 300:
        return _rejected(base, HTTP_ERROR, f"status {got.status}")
    if not got.status:
        return _rejected(base, DAMAGED, got.damage)
    if mime and mime not in (*HTML_TYPES, *TEXT_TYPES):
        return _rejected(base, NOT_HTML_OR_TEXT, mime)
    if got.too_large or not is_given:
        return _rejected(base, TOO_LARGE, f"{frame.size} bytes stored")
    if got.damage:
        return _rejected(base, DAMAGED, got.damage)
    return _page(base, got.body, max_page_bytes)


def _truncated(got: message.Response, is_given: bool) -> str:
    if got.is_short and is_given:
        return HTTP_LENGTH
    return HTTP_PART if got.is_part else ""


def _page(base: Record, body: bytes, max_page_bytes: int) -> Record:
    """The record with its content, unless that is too large or neither HTML nor text."""
    mime = base.mime or ("text/html" if body[:512].lstrip().lower().startswith(HTML_STARTS) else "")
    if mime not in (*HTML_TYPES, *TEXT_TYPES):
        return _rejected(base, NOT_HTML_OR_TEXT, mime or "no content type")
    if base.size > max_page_bytes + HEADER_ALLOWANCE_BYTES or len(body) > max_page_bytes:
        return _rejected(base, TOO_LARGE, f"{max(len(body), base.size)} bytes")
    if is_binary(body, base.charset):
        return _rejected(base, NOT_HTML_OR_TEXT, f"declared {mime}, but binary")
    if base.kind == "conversion":
        return replace(base, mime=mime, text=body.decode("utf-8", "replace"))
    return replace(base, mime=mime, payload=body)


def _robots(base: Record, body: bytes, detail: str = "") -> Record:
    """A site's rules for crawlers, with the part of them that a crawler must read."""
    return replace(base, reason=ROBOTS_TXT, detail=detail, evidence=body[:ROBOTS_BYTES])


def is_binary(body: bytes, charset: str = "") -> bool:
    """Whether the first kilobytes cannot be text in any encoding of the web; a stray control byte
    is forgiven."""
    if body.startswith(BINARY_STARTS):
        return True
    if body.startswith(UNICODE_MARKS) or charset.lower().startswith(
        ("utf-16", "utf-32", "ucs-2", "iso-10646")
    ):
        return False
    head = body[: message.PROBE_BYTES]
    return message.has_controls(head) and not wide_charset(head)


def warc_truncated(value: str) -> str:
    """WARC-Truncated as one of TRUNCATED, empty where absent (WARC 1.1, section 5.13)."""
    reason = value.strip().lower()
    return reason if reason in ("", "length", "time", "disconnect") else UNSPECIFIED


def warc_date(text: str) -> datetime | None:
    """WARC-Date (`2024-05-01T10:00:00Z`, also shorter or with fractions), None where it makes no
    sense."""
    digits = "".join(c for c in text if c.isdigit())
    return arc_date(digits[:14])


def arc_date(digits: str) -> datetime | None:
    """`20240501100000`, or only its first 4 to 12 digits."""
    padded = digits[:14] + "00000101000000"[len(digits[:14]) :]
    if len(digits) < 4 or not digits.isdigit():
        return None
    try:
        year, month, day, hour, minute, second = (int(padded[a:b]) for a, b in DATE_PARTS)
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def _rejected(base: Record, reason: str, detail: str) -> Record:
    return replace(base, reason=reason, detail=detail)
