"""Decompression that survives damage: what is readable of a file before and after a broken member.

A crawl file is usually one compressed member a record, so a broken member costs one record.
`pieces` yields what can be read, says where each member starts, and marks each break; it raises
nothing for damaged data and always ends.

fastwarc's readers decode Zstandard and LZ4 frames; gzip goes through zlib, because fastwarc's gzip
reader takes a cut member for a finished one and does not say where a member ends.
"""

import bz2
import io
import lzma
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol

from fastwarc.stream_io import Lz4Reader, ZstdReader

from jobs.crawl.sections import Section, lz4_end, zstd_end

BLOCK_BYTES = 1 << 18
PROBE_BYTES = 1 << 13
PROBE_FRAME_BYTES = 1 << 22
MAGICS = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
}
MAGIC_OF = {codec: magic for magic, codec in MAGICS.items()}
SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
RECORD_START = re.compile(rb"\s*(?:WARC/\d|filedesc:|dns:|[A-Za-z][A-Za-z0-9+.-]*://)")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some decompressed bytes of the member that starts at byte `offset` of the file; `broken`
    marks damage after them."""

    offset: int
    data: bytes
    broken: bool = False


class Decompressor(Protocol):
    """What zlib, bz2 and lzma decompressors have in common here."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

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


def pieces(raw: IO[bytes], codec: str, offset: int = 0) -> Iterator[Piece]:
    """All readable bytes of a seekable file, from the member on that begins at `offset`. After
    damage, reading goes on at the next member that starts a WARC or ARC record."""
    if not codec:
        yield from plain(raw, offset)
        return
    walk = _members if codec in BY_STDLIB else _frames
    start: int | None = offset
    while start is not None:
        start = yield from walk(raw, codec, start)


def plain(raw: IO[bytes], offset: int) -> Iterator[Piece]:
    """The bytes of an uncompressed file from `offset` on."""
    raw.seek(offset)
    while data := raw.read(BLOCK_BYTES):
        yield Piece(offset, data)
        offset += len(data)


def _members(raw: IO[bytes], codec: str, start: int) -> Generator[Piece, None, int | None]:
    """Members of gzip, bz2 or xz from `start` to the end or to damage; returns where to go on, None
    at the end."""
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


def _frames(raw: IO[bytes], codec: str, start: int) -> Generator[Piece, None, int | None]:
    """Frames of Zstandard or LZ4, as `_members`."""
    end_of = zstd_end if codec == "zstd" else lz4_end
    dictionary = _first_dictionary(raw)
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
        section = Section(raw, start, size if end is None else min(end, size))
        try:
            reader = _reader(section, codec, dictionary)
            while data := reader.read(BLOCK_BYTES):
                yield Piece(start, data)
        except OSError:
            end = None
        if end is None or end > size:
            yield Piece(start, b"", broken=True)
            return _next_member(raw, codec, start + 1, dictionary)
        start = end
    return None


def _first_dictionary(raw: IO[bytes]) -> bytes | None:
    """The dictionary that a .warc.zst file begins with, if it does: needed wherever reading
    starts."""
    raw.seek(0)
    head = raw.read(8)
    if not SKIPPABLE.match(head) or head[0] != 0x5D:
        return None
    return _dictionary(raw.read(int.from_bytes(head[4:8], "little")))


def _reader(section: Section, codec: str, dictionary: bytes | None) -> ZstdReader | Lz4Reader:
    return ZstdReader(section, dictionary=dictionary) if codec == "zstd" else Lz4Reader(section)


def _dictionary(stored: bytes) -> bytes:
    """The dictionary of a .warc.zst file, which may itself be compressed (WARC/zst, section 3)."""
    if not stored.startswith(MAGIC_OF["zstd"]):
        return stored
    try:
        return bytes(ZstdReader(io.BytesIO(stored)).read(1 << 27))
    except OSError:
        return b""


def _next_member(
    raw: IO[bytes], codec: str, start: int, dictionary: bytes | None = None
) -> int | None:
    """The next place from `start` on where a member begins that holds the start of a record."""
    magic = MAGIC_OF[codec]
    raw.seek(start)
    base, window = start, b""
    while data := raw.read(BLOCK_BYTES):
        here = raw.tell()
        window += data
        at = window.find(magic)
        while at >= 0:
            if _starts_record(raw, codec, base + at, dictionary):
                return base + at
            at = window.find(magic, at + 1)
        raw.seek(here)
        keep = min(len(magic) - 1, len(window))
        base += len(window) - keep
        window = window[len(window) - keep :]
    return None


def _starts_record(raw: IO[bytes], codec: str, at: int, dictionary: bytes | None) -> bool:
    raw.seek(at)
    head = raw.read(PROBE_BYTES)
    try:
        if codec in BY_STDLIB:
            first = next((block for block in BY_STDLIB[codec]().feed(head) if block), b"")
        else:
            section = Section(raw, at, at + PROBE_FRAME_BYTES)
            first = _reader(section, codec, dictionary).read(64)
    except ERRORS:
        return False
    return RECORD_START.match(first) is not None
