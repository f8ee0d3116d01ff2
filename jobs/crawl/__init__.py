"""Readers of raw crawl files: `records(uri)` yields everything in one file, damaged parts included.

Reads WARC, WET and ARC (plain, gzip, Zstandard, LZ4, bzip2, xz), HTML pages, plain text (one
document a file), JSONL and Parquet. Promises, for any bytes whatever: at least one record from a
whole file, no exception, an end, indexes 0, 1, 2 ... without gaps. What raises where nobody foresaw
it is a record too, `failed`; a record that fails leaves the others as they are. A failing network
is an error and never looks like damage (`jobs.crawl.local`). Large JSONL and Parquet files can be
read in parts (`jobs.crawl.ranges`).
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, cast

from infra import storage
from jobs.crawl.addresses import own_url
from jobs.crawl.archives import arc_records, warc_records
from jobs.crawl.compressed import codec_of, pieces
from jobs.crawl.counted import CountedStream, StoreFailed
from jobs.crawl.files import whole
from jobs.crawl.jsonl import json_lines
from jobs.crawl.kinds import HEAD_BYTES, is_parquet, kind_of
from jobs.crawl.local import local
from jobs.crawl.parquet import parquet_rows
from jobs.crawl.ranges import NoParts, Range
from jobs.crawl.record import EMPTY_FILE, FAILED, REASONS, UNREADABLE, Found, Origin, Record, said

__all__ = ["MAX_PAGE_BYTES", "REASONS", "Found", "Origin", "Record", "records"]

MAX_PAGE_BYTES = 10 << 20


def records(
    uri: str,
    max_page_bytes: int = MAX_PAGE_BYTES,
    part: Range | None = None,
    found: Found | None = None,
) -> Iterator[Record]:
    """Every record of the crawl file at `uri`, or of a part of it, which may have none; `found`
    counts them. Raises only what a remote store or a disk raises when it fails, and ValueError for
    a part of a file that has none."""
    found = Found() if found is None else found
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(local(uri, part))
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            found.records += 1
            yield Record(0, 0, "", reason=UNREADABLE, detail=type(error).__name__)
            return
        for record in _caught(_read(raw, uri, max_page_bytes, part, found), part):
            found.records += 1
            yield record
    if not found.records and part is None:
        found.records += 1
        yield Record(0, 0, "", reason=EMPTY_FILE)


def _caught(read: Iterator[Record], part: Range | None) -> Iterator[Record]:
    """What is read; where the reader raises, a record that says so, and no more: nobody knows where
    to go on."""
    index, offset = 0, part.start if part else 0
    try:
        for record in read:
            yield record
            index, offset = record.index + 1, record.offset
    except (StoreFailed, NoParts):
        raise
    except Exception as error:
        detail = f"the rest of the file is not read: {said(error)}"
        yield Record(index, offset, "", reason=FAILED, detail=detail)


def _read(
    raw: CountedStream, uri: str, max_page_bytes: int, part: Range | None, found: Found
) -> Iterator[Record]:
    head, stream = raw.read(HEAD_BYTES), cast(IO[bytes], raw)
    start, end = (0, None) if part is None else (part.start, part.end)
    if is_parquet(head, storage.base_name(uri)):
        yield from parquet_rows(stream, own_url(uri), max_page_bytes, start, end, found)
    elif head:
        try:
            yield from _read_on(stream, head, uri, max_page_bytes, part)
        finally:
            reached = raw.reached if end is None else min(raw.reached, end)
            found.bytes_read = max(0, reached - start)


def _read_on(
    raw: IO[bytes], head: bytes, uri: str, max_page_bytes: int, part: Range | None
) -> Iterator[Record]:
    """The records of a format that is read from its beginning."""
    codec = codec_of(head)
    if codec:
        head = next((piece.data for piece in pieces(raw, codec)), b"")
    form = kind_of(head, storage.base_name(uri))
    if part is not None and (codec or form != "jsonl"):
        raise NoParts(f"{storage.public_uri(uri)}: has no parts; read it whole (part=None)")
    if form == "jsonl":
        bounds = (part.start, part.end) if part else (0, None)
        yield from json_lines(raw, codec, own_url(uri), max_page_bytes, *bounds)
    elif form == "warc":
        yield from warc_records(raw, codec, max_page_bytes)
    elif form == "arc":
        yield from arc_records(raw, codec, max_page_bytes)
    elif form in ("html", "text"):
        yield from whole(raw, codec, own_url(uri), form, max_page_bytes)
    else:
        detail = f"unknown format, starts with {head[:16]!r}"
        yield Record(0, 0, "", reason=UNREADABLE, detail=detail)
