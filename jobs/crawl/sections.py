"""Where Zstandard and LZ4 frames end, told from their block headers without decompressing, and a
frame as a stream of its own."""

import io
from typing import IO, Any


class Section(io.RawIOBase):
    """The bytes [start, end) of a file, read-only."""

    def __init__(self, raw: IO[bytes], start: int, end: int) -> None:
        self._raw, self._start, self._at, self._end = raw, start, start, end

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at - self._start

    def readinto(self, buffer: Any) -> int:
        self._raw.seek(self._at)
        data = self._raw.read(min(len(buffer), self._end - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def zstd_end(raw: IO[bytes], start: int) -> int | None:
    """Where the frame at `start` ends, from its block headers (RFC 8878, section 3.1.1); None where
    they make no sense."""
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


def lz4_end(raw: IO[bytes], start: int) -> int | None:
    """Where the frame at `start` ends, from its block sizes (LZ4 frame format 1.6); None where they
    make no sense."""
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
