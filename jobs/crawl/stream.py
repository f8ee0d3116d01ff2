"""A movable window over the decompressed bytes of a crawl file: look ahead, find, go back a little,
never more than the window."""

import re
from bisect import bisect_right
from collections.abc import Iterator

from jobs.crawl.compressed import Piece

WINDOW_BYTES = 1 << 26


class Stream:
    """Positions are those of the decompressed bytes. Memory is at most `window_bytes` and a block.

    pieces      what `compressed.pieces` yields
    compressed  whether `offset` must be looked up by member
    """

    def __init__(
        self, pieces: Iterator[Piece], compressed: bool, window_bytes: int = WINDOW_BYTES
    ) -> None:
        self._pieces = pieces
        self._compressed = compressed
        self._window_bytes = window_bytes
        self._base = 0
        self._buffer = bytearray()
        self._positions: list[int] = []
        self._offsets: list[int] = []
        self._breaks: list[tuple[int, int]] = []
        self._ended = False

    def fill(self, end: int) -> bool:
        """Read on until `end` has been seen; False when the file ends before it."""
        while not self._ended and self._base + len(self._buffer) < end:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                break
            at = self._base + len(self._buffer)
            if self._compressed and (not self._offsets or self._offsets[-1] != piece.offset):
                self._positions.append(at)
                self._offsets.append(piece.offset)
            if piece.broken:
                self._breaks.append((at, piece.offset))
            self._buffer += piece.data
            surplus = len(self._buffer) - self._window_bytes
            if surplus > self._window_bytes // 2:
                self.release(self._base + surplus)
        return self._base + len(self._buffer) >= end

    def release(self, position: int) -> None:
        """Nothing before `position` is needed any more."""
        drop = position - self._base
        if drop > 0 and (drop > 1 << 20 or drop * 2 > len(self._buffer)):
            drop = min(drop, len(self._buffer))
            del self._buffer[:drop]
            self._base += drop

    def read(self, start: int, end: int) -> bytes:
        """Bytes [start, end) as far as the file and the window reach."""
        self.fill(end)
        return bytes(self._buffer[max(0, start - self._base) : max(0, end - self._base)])

    def at_end(self, position: int) -> bool:
        """Whether there is nothing at or after `position`, neither bytes nor damage."""
        return not self.fill(position + 1) and not any(at >= position for at, _ in self._breaks)

    def match(
        self, pattern: re.Pattern[bytes], position: int, reach: int
    ) -> re.Match[bytes] | None:
        """`pattern` at `position`, seen no further than `reach` bytes. Spans are relative to
        `position`."""
        return pattern.match(self.read(position, position + reach))

    def find(
        self, pattern: re.Pattern[bytes], start: int, overlap: int, stop: int | None = None
    ) -> int | None:
        """Position of the first match from `start` on (and before `stop`); a match is at most
        `overlap` bytes long."""
        start = max(start, self._base)
        while stop is None or start < stop:
            more = self.fill(start + (1 << 18) + overlap)
            seen = self._base + len(self._buffer)
            last = seen if not more else start + (1 << 18)
            found = pattern.search(
                self._buffer, start - self._base, min(seen, last + overlap) - self._base
            )
            if found:
                position = self._base + found.start()
                return position if stop is None or position < stop else None
            if not more:
                return None
            start = last
        return None

    def offset(self, position: int) -> int:
        """Byte offset in the file: of the position itself, or of the compressed member that holds
        it."""
        if not self._compressed:
            return position
        self.fill(position + 1)
        index = bisect_right(self._positions, position) - 1
        return self._offsets[index] if index >= 0 else 0

    def starts_member(self, position: int) -> bool:
        """Whether a compressed member begins exactly here."""
        self.fill(position + 1)
        index = bisect_right(self._positions, position) - 1
        return index >= 0 and self._positions[index] == position

    def take_break(self, start: int, end: int, sure: int, offset: int) -> tuple[int, int] | None:
        """Report, once, bytes lost to broken compression in [start, end]: (position, offset of the
        broken member).

        From position `sure` on, only a break of the member at `offset` counts: others belong to the
        record that follows.
        """
        self.fill(end)
        for entry in self._breaks:
            at, member = entry
            if start <= at <= end and (at < sure or member == offset):
                self._breaks.remove(entry)
                return entry
        return None

    def break_at(self, position: int) -> int | None:
        """Offset of a member that broke exactly here, unless it was taken."""
        self.fill(position + 1)
        return next((member for at, member in self._breaks if at == position), None)

    def end(self) -> int:
        """The position after the last byte read so far."""
        return self._base + len(self._buffer)
