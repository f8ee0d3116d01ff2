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
PROBED_BYTES = 1 << 8
XZ_MEMORY_BYTES = 1 << 28
MAGICS = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
}
MAGIC_OF = {codec: magic for magic, codec in MAGICS.items()}
BROKEN = "broken compression"
ENDLESS = "decompresses to more bytes than so small a file may stand for: not read on"
FREE_BYTES = 1 << 30
TIMES = 128
HEADERS = {
    # RFC 1952, 2.3.1: the reserved flags are zero, the operating system is a known one.
    "gzip": re.compile(rb"\x1f\x8b\x08[\x00-\x1f].{5}[\x00-\x0d\xff]", re.DOTALL),
    # RFC 8878, 3.1.1.1.1: the reserved bit of the descriptor is zero.
    "zstd": re.compile(
        rb"\x28\xb5\x2f\xfd[%s]" % b"".join(b"\\x%02x" % n for n in range(256) if not n & 8)
    ),
    # LZ4 frame format: version 01, a block size of 64 KB to 4 MB.
    "lz4": re.compile(rb"\x04\x22\x4d\x18[\x40-\x7f][\x40\x50\x60\x70]"),
    "bz2": re.compile(rb"BZh[1-9]1AY&SY"),
    "xz": re.compile(rb"\xfd7zXZ\x00\x00[\x00\x01\x04\x0a]"),
}
"""What a member begins with, as far as it is the same for all."""
SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
RECORD_START = re.compile(rb"\s*(?:WARC/\d|filedesc:|dns:|[A-Za-z][A-Za-z0-9+.-]*://)")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some decompressed bytes of the member that starts at byte `offset` of the file; `broken` says
    what is wrong after them, empty where nothing is."""

    offset: int
    data: bytes
    broken: str = ""


class Decompressor(Protocol):
    """What zlib, bz2 and lzma decompressors have in common here."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompressed blocks of bounded size. Raises an error of `ERRORS`."""

    def first(self, data: bytes, size: int) -> bytes:
        """The first bytes of what the data hold, at most `size`. Raises an error of `ERRORS`."""


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

    def first(self, data: bytes, size: int) -> bytes:
        return self._inner.decompress(data, size)


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

    def first(self, data: bytes, size: int) -> bytes:
        return bytes(self._inner.decompress(data, size))


BY_STDLIB: dict[str, Callable[[], Decompressor]] = {
    "gzip": _Gzip,
    "bz2": lambda: _Stdlib(bz2.BZ2Decompressor()),
    "xz": lambda: _Stdlib(lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES)),
}


def most_bytes(stored_bytes: int, free_bytes: int | None = None) -> int:
    """How many bytes a compressed file, or a part of one, is followed to: many times what real ones
    have, and a sparse record that is larger still; what goes on without end is cut off."""
    return (FREE_BYTES if free_bytes is None else free_bytes) + TIMES * stored_bytes


def codec_of(head: bytes) -> str:
    """The compression that a file's first bytes announce; empty for none."""
    if SKIPPABLE.match(head):
        return "zstd"
    return next((codec for magic, codec in MAGICS.items() if head.startswith(magic)), "")


def pieces(raw: IO[bytes], codec: str, offset: int = 0) -> Iterator[Piece]:
    """All readable bytes of a seekable file, from the member on that begins at `offset`. After
    damage, reading goes on at the next member that starts a WARC or ARC record; what decompresses
    to more than `most_bytes` is damage that ends the file."""
    if not codec:
        yield from plain(raw, offset)
        return
    left = most_bytes(raw.seek(0, io.SEEK_END))
    for piece in _readable(raw, codec, offset):
        left -= len(piece.data)
        if left < 0:
            yield Piece(piece.offset, b"", ENDLESS)
            return
        yield piece


def _readable(raw: IO[bytes], codec: str, offset: int) -> Iterator[Piece]:
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
            yield Piece(start, b"", broken=BROKEN)
            return _next_member(raw, codec, start + 1)
        if not inner.eof:
            yield Piece(start, b"", broken=BROKEN)
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
            yield Piece(start, b"", broken=BROKEN)
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
    """The next place from `start` on where a member begins that holds the start of a record.

    Linear in the file, whatever it holds: a place costs the look at its header, and only where that
    could be one, the decoding of a few hundred bytes.
    """
    header = HEADERS[codec]
    base, window, ended = start, b"", False
    while not ended:
        raw.seek(base + len(window))
        data = raw.read(BLOCK_BYTES)
        ended = len(data) < BLOCK_BYTES
        window += data
        # Those near the window's end are looked at once there is more of them.
        last = len(window) if ended else len(window) - PROBE_BYTES
        for found in header.finditer(window):
            place = found.start()
            if place >= last:
                break
            head = window[place : place + PROBE_BYTES]
            if _starts_record(raw, codec, base + place, head, dictionary):
                return base + place
        base, window = base + max(0, last), window[max(0, last) :]
    return None


def _starts_record(
    raw: IO[bytes], codec: str, at: int, head: bytes, dictionary: bytes | None
) -> bool:
    """Whether what is at `at` of the file, beginning with `head`, decodes to a record's start."""
    try:
        if codec in BY_STDLIB:
            first = BY_STDLIB[codec]().first(head, PROBED_BYTES)
        else:
            section = Section(raw, at, at + PROBE_FRAME_BYTES)
            first = _reader(section, codec, dictionary).read(PROBED_BYTES)
    except ERRORS:
        return False
    return RECORD_START.match(first) is not None
