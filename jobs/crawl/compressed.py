"""Decompression that survives damage: the readable bytes of a file before and after every broken member.

A crawl file is usually one compressed member a record, so a broken member costs one record. `pieces` yields what can be read,
says where each member starts, and marks each break; it raises nothing for damaged data and always ends.

fastwarc's readers decode Zstandard and LZ4 frames; gzip goes through zlib, because fastwarc's gzip reader takes a cut member for a
finished one and does not say where a member ends.
"""

import bz2
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol

from fastwarc.stream_io import Lz4Reader, ZstdReader

BLOCK_BYTES = 1 << 18
PROBE_BYTES = 1 << 13
MAGICS = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
MAGIC_OF = {codec: magic for magic, codec in MAGICS.items()}
SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
RECORD_START = re.compile(rb"\s*(?:WARC/\d|filedesc:|dns:|[A-Za-z][A-Za-z0-9+.-]*://)")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some decompressed bytes of the member that starts at byte `offset` of the file; `broken` marks damage after them."""

    offset: int
    data: bytes
    broken: bool = False


class Decompressor(Protocol):
    """What zlib, bz2 and lzma decompressors have in common here."""

    eof: bool
    unused_data: bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompressed blocks of bounded size. Raises an error of `ERRORS`."""


ERRORS = (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError)


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            block = self._inner.decompress(data, BLOCK_BYTES)
            yield block
            data = self._inner.unconsumed_tail
            if self._inner.eof or (not data and len(block) < BLOCK_BYTES):
                return


class _Stdlib:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield self._inner.decompress(data, BLOCK_BYTES)
        while not self._inner.eof and not self._inner.needs_input:
            yield self._inner.decompress(b"", BLOCK_BYTES)


BY_STDLIB: dict[str, Callable[[], Decompressor]] = {
    "gzip": _Gzip,
    "bz2": lambda: _Stdlib(bz2.BZ2Decompressor()),
    "xz": lambda: _Stdlib(lzma.LZMADecompressor()),
}


def codec_of(head: bytes) -> str:
    """The compression that a file's first bytes announce; empty for none."""
    if SKIPPABLE.match(head):
        return "zstd"
    return next((codec for magic, codec in MAGICS.items() if head.startswith(magic)), "")


def pieces(raw: IO[bytes], codec: str) -> Iterator[Piece]:
    """All readable bytes of a seekable file. After damage, reading goes on at the next member that starts a WARC or ARC record."""
    if not codec:
        yield from _plain(raw)
        return
    walk = _members if codec in BY_STDLIB else _frames
    start: int | None = 0
    while start is not None:
        start = yield from walk(raw, codec, start)


def _plain(raw: IO[bytes]) -> Iterator[Piece]:
    raw.seek(0)
    offset = 0
    while data := raw.read(BLOCK_BYTES):
        yield Piece(offset, data)
        offset += len(data)


def _members(raw: IO[bytes], codec: str, start: int) -> Iterator[Piece]:
    """Members of gzip, bz2 or xz from `start` to the end or to damage; returns where to go on, None at the end."""
    raw.seek(start)
    data = raw.read(BLOCK_BYTES)
    while data:
        inner = BY_STDLIB[codec]()
        try:
            while data and not inner.eof:
                for block in inner.feed(data):
                    if block:
                        yield Piece(start, block)
                if not inner.eof:
                    data = raw.read(BLOCK_BYTES)
        except ERRORS:
            yield Piece(start, b"", broken=True)
            return _next_member(raw, codec, start + 1)
        if not inner.eof:
            yield Piece(start, b"", broken=True)
            return _next_member(raw, codec, start + 1)
        data = inner.unused_data or b""
        start = raw.tell() - len(data)
        data = data or raw.read(BLOCK_BYTES)
        if data and not data.strip(b"\0"):
            while (data := raw.read(BLOCK_BYTES)) and not data.strip(b"\0"):
                continue
            if data:
                return _next_member(raw, codec, start)
    return None


def _frames(raw: IO[bytes], codec: str, start: int) -> Iterator[Piece]:
    """Frames of Zstandard or LZ4, as `_members`."""
    end_of = _zstd_end if codec == "zstd" else _lz4_end
    reader_of = ZstdReader if codec == "zstd" else Lz4Reader
    dictionary: bytes | None = None
    size = raw.seek(0, 2)
    while start < size:
        raw.seek(start)
        head = raw.read(8)
        if SKIPPABLE.match(head):
            length = int.from_bytes(head[4:8], "little")
            if head[0] == 0x5D:
                dictionary = _dictionary(raw.read(min(length, size)))
            start += 8 + length
            continue
        end = end_of(raw, start) if head.startswith(MAGIC_OF[codec]) else None
        section = _Section(raw, start, size if end is None else min(end, size))
        extra = {"dictionary": dictionary} if dictionary else {}
        try:
            reader = reader_of(section, **extra)
            while data := reader.read(BLOCK_BYTES):
                yield Piece(start, data)
        except OSError:
            end = None
        if end is None or end > size:
            yield Piece(start, b"", broken=True)
            return _next_member(raw, codec, start + 1)
        start = end
    return None


class _Section:
    """The bytes [start, end) of a file as a stream of its own."""

    def __init__(self, raw: IO[bytes], start: int, end: int) -> None:
        self._raw, self._start, self._at, self._end = raw, start, start, end

    def tell(self) -> int:
        return self._at - self._start

    def read(self, n: int = -1) -> bytes:
        self._raw.seek(self._at)
        left = self._end - self._at
        data = self._raw.read(left if n < 0 else min(n, left))
        self._at += len(data)
        return data


def _dictionary(stored: bytes) -> bytes:
    """The dictionary of a .warc.zst file, which may itself be compressed (WARC/zst, section 3)."""
    if not stored.startswith(MAGIC_OF["zstd"]):
        return stored
    try:
        return bytes(ZstdReader(io.BytesIO(stored)).read(1 << 27))
    except OSError:
        return b""


def _zstd_end(raw: IO[bytes], start: int) -> int | None:
    """Where the frame at `start` ends, from its block headers (RFC 8878, section 3.1.1); None where they make no sense."""
    raw.seek(start + 4)
    descriptor = raw.read(1)
    if not descriptor:
        return None
    flags = descriptor[0]
    single = flags >> 5 & 1
    at = start + 5 + (1 - single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
    while True:
        raw.seek(at)
        head = raw.read(3)
        if len(head) < 3:
            return None
        value = int.from_bytes(head, "little")
        kind = value >> 1 & 3
        if kind == 3:
            return None
        at += 3 + (1 if kind == 1 else value >> 3)
        if value & 1:
            return at + (4 if flags >> 2 & 1 else 0)


def _lz4_end(raw: IO[bytes], start: int) -> int | None:
    """Where the frame at `start` ends, from its block sizes (LZ4 frame format 1.6); None where they make no sense."""
    raw.seek(start + 4)
    descriptor = raw.read(1)
    if not descriptor:
        return None
    flags = descriptor[0]
    at = start + 7 + (8 if flags >> 3 & 1 else 0) + (4 if flags & 1 else 0)
    while True:
        raw.seek(at)
        head = raw.read(4)
        if len(head) < 4:
            return None
        size = int.from_bytes(head, "little") & 0x7FFFFFFF
        at += 4
        if size == 0:
            return at + (4 if flags >> 2 & 1 else 0)
        at += size + (4 if flags >> 4 & 1 else 0)


def _next_member(raw: IO[bytes], codec: str, start: int) -> int | None:
    """The next place from `start` on where a member begins that holds the start of a record."""
    magic = MAGIC_OF[codec]
    raw.seek(start)
    base, window = start, b""
    while data := raw.read(BLOCK_BYTES):
        here = raw.tell()
        window += data
        at = window.find(magic)
        while at >= 0:
            if _starts_record(raw, codec, base + at):
                return base + at
            at = window.find(magic, at + 1)
        raw.seek(here)
        keep = min(len(magic) - 1, len(window))
        base += len(window) - keep
        window = window[len(window) - keep :]
    return None


def _starts_record(raw: IO[bytes], codec: str, at: int) -> bool:
    raw.seek(at)
    head = raw.read(PROBE_BYTES)
    try:
        if codec in BY_STDLIB:
            first = next((block for block in BY_STDLIB[codec]().feed(head) if block), b"")
        else:
            first = (ZstdReader if codec == "zstd" else Lz4Reader)(_Section(raw, at, at + (1 << 22))).read(64)
    except ERRORS:
        return False
    return RECORD_START.match(first) is not None
