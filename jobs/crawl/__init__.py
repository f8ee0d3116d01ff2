"""Readers of raw crawl files: `records(uri)` yields everything in one file, damaged parts included.

Reads WARC, WET and ARC (plain, gzip, Zstandard, LZ4, bzip2, xz), HTML pages, plain text (one
document a file), JSONL and Parquet. Promises, for any bytes whatever: at least one record from a
whole file, no exception, an end, indexes 0, 1, 2 ... without gaps. A failing network is an error
and never looks like damage (`jobs.crawl.local`). Large JSONL and Parquet files can be read in parts
(`jobs.crawl.ranges`).
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

from infra import storage
from jobs.crawl.addresses import own_url
from jobs.crawl.archives import arc_records, warc_records
from jobs.crawl.compressed import codec_of, pieces
from jobs.crawl.files import whole
from jobs.crawl.jsonl import json_lines
from jobs.crawl.kinds import HEAD_BYTES, PARQUET_MAGIC, kind_of
from jobs.crawl.local import local
from jobs.crawl.parquet import parquet_rows
from jobs.crawl.ranges import Range
from jobs.crawl.record import EMPTY_FILE, REASONS, UNREADABLE, Record

__all__ = ["MAX_PAGE_BYTES", "REASONS", "Record", "records"]

MAX_PAGE_BYTES = 10 << 20


def records(
    uri: str, max_page_bytes: int = MAX_PAGE_BYTES, part: Range | None = None
) -> Iterator[Record]:
    """Every record of the crawl file at `uri`, or of a part of it, which may have none. Raises only
    what a remote store raises when it fails, and ValueError for a part of a file that has none."""
    nothing = part is None
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(local(uri, part))
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            yield Record(0, 0, "", reason=UNREADABLE, detail=type(error).__name__)
            return
        for record in _read(raw, uri, max_page_bytes, part):
            nothing = False
            yield record
    if nothing:
        yield Record(0, 0, "", reason=EMPTY_FILE)


def _read(raw: IO[bytes], uri: str, max_page_bytes: int, part: Range | None) -> Iterator[Record]:
    head = raw.read(HEAD_BYTES)
    if not head:
        return iter(())
    start, end = (0, None) if part is None else (part.start, part.end)
    if head.startswith(PARQUET_MAGIC):
        return parquet_rows(raw, own_url(uri), max_page_bytes, start, end)
    codec = codec_of(head)
    if codec:
        head = next((piece.data for piece in pieces(raw, codec)), b"")
    form = kind_of(head, storage.base_name(uri))
    if part is not None and (codec or form != "jsonl"):
        raise ValueError(f"{storage.public_uri(uri)}: has no parts; read it whole (part=None)")
    if form == "jsonl":
        return json_lines(raw, codec, own_url(uri), max_page_bytes, start, end)
    if form == "warc":
        return warc_records(raw, codec, max_page_bytes)
    if form == "arc":
        return arc_records(raw, codec, max_page_bytes)
    if form in ("html", "text"):
        return whole(raw, codec, own_url(uri), form, max_page_bytes)
    detail = f"unknown format, starts with {head[:16]!r}"
    return iter([Record(0, 0, "", reason=UNREADABLE, detail=detail)])
