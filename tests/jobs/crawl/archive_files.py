"""Archives made for tests, whole and compressed, and what the reader makes of them."""

import bz2
import gzip
import io
import lzma
import uuid
from collections.abc import Callable
from pathlib import Path

import zstandard
from fastwarc.stream_io import Lz4Writer

from jobs.crawl import REASONS, Record, records

PAGE = "<html><body><p>Page number {} has a few words of its own.</p></body></html>"
LIMIT = 1 << 20
WRITER = "<urn:uuid:5a4c6c3e-6f0b-4b57-9b0c-0d2c1a6f7e11>"


def warc_record(
    number: int,
    kind: str = "response",
    block: bytes | None = None,
    length: int | None = None,
    writer: str = "",
) -> bytes:
    """One WARC record whose block is an HTTP response unless given. writer: a WARC-Warcinfo-ID."""
    if block is None:
        block = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
            + PAGE.format(number).encode()
        )
    fields = [
        f"WARC-Type: {kind}",
        f"WARC-Target-URI: https://example.org/{number}",
        "WARC-Date: 2024-05-01T10:00:00Z",
        f"WARC-Record-ID: <urn:uuid:{uuid.UUID(int=number)}>",
        *([f"WARC-Warcinfo-ID: {writer}"] if writer else []),
        "Content-Type: application/http; msgtype=response",
        f"Content-Length: {len(block) if length is None else length}",
    ]
    return "\r\n".join(["WARC/1.0", *fields, "", ""]).encode() + block + b"\r\n\r\n"


def arc_record(number: int, length: int | None = None, body: bytes = b"") -> bytes:
    """One ARC 1.0 record."""
    page = PAGE.format(number).encode() + body
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
    size = len(block) if length is None else length
    line = f"http://example.org/{number} 192.0.2.1 20240501100000 text/html {size}\n"
    return line.encode() + block + b"\n"


def lz4(data: bytes) -> bytes:
    """One LZ4 frame."""
    stream = io.BytesIO()
    writer = Lz4Writer(stream)
    writer.write(data)
    writer.close()
    return stream.getvalue()


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "zst": zstandard.compress,
    "lz4": lz4,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def read(folder: Path, data: bytes, name: str = "x.warc") -> list[Record]:
    """The records of a file with this content, numbered without gaps and with known reasons."""
    path = folder / name
    path.write_bytes(data)
    found = list(records(str(path), LIMIT))
    assert [r.index for r in found] == list(range(len(found)))
    assert {r.reason for r in found} <= {None, *REASONS}
    return found


def outcome(found: list[Record]) -> list[str]:
    """For each record the number of its page, or its reason."""
    return [r.reason or r.url.rsplit("/", 1)[-1] for r in found]
