"""Readers of raw crawl files: `records(uri)` yields everything in one file, damaged parts included.

Reads WARC, WET and ARC (plain, gzip, Zstandard, LZ4, bzip2, xz), HTML pages, plain text (one document a file), JSONL and Parquet.
The content decides which; the name decides only between kinds of text. Promises, for any bytes whatever: at least one record, no
exception, an end, indexes 0, 1, 2 ... without gaps. A remote file is copied to local disk first, so a failing network is an error
that can be tried again and never looks like damage.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from urllib.parse import urlsplit

from infra import storage
from jobs.crawl.archives import HTML_STARTS, arc_records, is_binary, warc_records
from jobs.crawl.compressed import codec_of, pieces
from jobs.crawl.files import json_lines, parquet_rows, whole
from jobs.crawl.framing import ARC_LINE
from jobs.crawl.record import EMPTY_FILE, REASONS, UNREADABLE, Record

__all__ = ["MAX_PAGE_BYTES", "REASONS", "Record", "base_name", "public_uri", "records"]

MAX_PAGE_BYTES = 10 << 20
COMPRESSION_SUFFIX = re.compile(r"\.(gz|zst|zstd|lz4|bz2|xz|bad)$", re.IGNORECASE)


def records(uri: str, max_page_bytes: int = MAX_PAGE_BYTES) -> Iterator[Record]:
    """Every record of the crawl file at `uri`. Raises only what a remote store raises when it fails."""
    nothing = True
    try:
        with _local(uri) as raw:
            for record in _read(raw, uri, max_page_bytes):
                nothing = False
                yield record
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        nothing = False
        yield Record(0, 0, "", reason=UNREADABLE, detail=type(error).__name__)
    if nothing:
        yield Record(0, 0, "", reason=EMPTY_FILE)


def _read(raw: IO[bytes], uri: str, max_page_bytes: int) -> Iterator[Record]:
    head = raw.read(1 << 12)
    if not head:
        return iter(())
    if head.startswith(b"PAR1"):
        return parquet_rows(raw, _own_url(uri), max_page_bytes)
    codec = codec_of(head)
    if codec:
        head = next((piece.data for piece in pieces(raw, codec)), b"")
    form = kind_of(head, base_name(uri))
    if form == "warc":
        return warc_records(raw, codec, max_page_bytes)
    if form == "arc":
        return arc_records(raw, codec, max_page_bytes)
    if form == "jsonl":
        return json_lines(raw, codec, _own_url(uri), max_page_bytes)
    if form in ("html", "text"):
        return whole(raw, codec, _own_url(uri), form, max_page_bytes)
    return iter(
        [Record(0, 0, "", reason=UNREADABLE, detail=f"unknown format, starts with {head[:16]!r}")]
    )


def kind_of(head: bytes, name: str) -> str:
    """`warc`, `arc`, `jsonl`, `html`, `text` or empty, from a file's first (decompressed) bytes and its base name."""
    start = head.lstrip(b"\r\n \t\xef\xbb\xbf")
    if start.startswith(b"WARC/"):
        return "warc"
    if start.startswith(b"filedesc:") or ARC_LINE.match(start):
        return "arc"
    suffix = os.path.splitext(COMPRESSION_SUFFIX.sub("", name.lower()))[1]
    if suffix in (".warc", ".wet", ".wat", ".arc"):
        return suffix[1:] if suffix == ".arc" else "warc"
    if suffix in (".jsonl", ".ndjson", ".json"):
        return "jsonl"
    if suffix in (".html", ".htm", ".xhtml"):
        return "html"
    if is_binary(head):
        return ""
    if suffix in (".txt", ".text", ".md"):
        return "text"
    if start.startswith(b"{"):
        return "jsonl"
    return "html" if start.lower().startswith(HTML_STARTS) else "text"


def base_name(uri: str) -> str:
    """The file's own name."""
    return (urlsplit(uri).path if "://" in uri else uri).rstrip("/").rsplit("/", 1)[-1]


def public_uri(uri: str) -> str:
    """The URI without credentials and query."""
    if storage.is_local(uri):
        return uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _own_url(uri: str) -> str:
    return (
        public_uri(uri) if uri.startswith(("http://", "https://")) else f"file:///{base_name(uri)}"
    )


@contextmanager
def _local(uri: str) -> Iterator[IO[bytes]]:
    """A seekable stream over the file, copied to local disk first when it is remote."""
    if storage.is_local(uri):
        with storage.open_read(uri) as stream:
            yield stream
        return
    with tempfile.TemporaryFile() as copy:
        with storage.open_read(uri) as stream:
            shutil.copyfileobj(stream, copy, storage.BLOCK_BYTES)
        copy.seek(0)
        yield copy
