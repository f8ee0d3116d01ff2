"""A movable window over the decompressed bytes of a crawl file: look ahead, find, go back; never
more in memory than a few windows."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from jobs.crawl.compressed import Piece

WINDOW_BYTES = 1 << 26
JUMP_BYTES = 1 << 22
MOST_RETURNS = 8
"""How often bytes of a compressed file are decompressed a second time, so that a file full of wrong
lengths costs no more than this many readings."""


class Break(NamedTuple):
    """Where bytes were lost: the position, the offset of the broken member, what is wrong."""

    at: int
    member: int
    what: str


class Stream:
    """Positions are those of the decompressed bytes. At most one and a half windows are held, twice
    that for the moment in which they are moved.

    reopen        what `compressed.pieces` yields from a member's offset on
    size          bytes of an uncompressed file, whose positions are offsets; None: compressed,
                  `offset` must be looked up by member
    window_bytes  at least the largest stretch that is read at once
    """

    def __init__(
        self,
        reopen: Callable[[int], Iterator[Piece]],
        size: int | None,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self._reopen = reopen
        self._size = size
        self._window_bytes = window_bytes
        self._returns = 0
        self._positions: list[int] = []
        self._offsets: list[int] = []
        self._breaks: list[Break] = []
        self._start_at(0, 0)

    @property
    def is_compressed(self) -> bool:
        """Whether the file is made of compressed members."""
        return self._size is None

    def _start_at(self, position: int, offset: int) -> None:
        self._base = position
        self._buffer = bytearray()
        self._pieces = self._reopen(offset)
        self._ended = False

    def fill(self, end: int) -> bool:
        """Read on until `end` has been seen; False when the file ends before it."""
        if self._base + len(self._buffer) >= end:
            return True
        while not self._ended and self._base + len(self._buffer) < end:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                break
            at = self._base + len(self._buffer)
            if self.is_compressed and (not self._offsets or self._offsets[-1] != piece.offset):
                self._positions.append(at)
                self._offsets.append(piece.offset)
            if piece.broken:
                self._breaks.append(Break(at, piece.offset, piece.broken))
            self._buffer += piece.data
            surplus = len(self._buffer) - self._window_bytes
            if surplus > self._window_bytes // 2:
                self.release(self._base + surplus)
        return self._base + len(self._buffer) >= end

    def reach(self, end: int) -> bool:
        """As `fill`, over any distance: of an uncompressed file what lies between is not read, a
        compressed one is not followed beyond the window once it had to be read again too often.
        `again` leads back."""
        if self._size is not None:
            if end > self._size:
                return False
            if end > self._base + len(self._buffer) + JUMP_BYTES:
                self._start_at(end, end)
        elif self._returns >= MOST_RETURNS and end > self._base + self._window_bytes:
            return False
        return self.fill(end)

    def again(self, position: int) -> None:
        """Have the bytes from `position` on once more, also where they were let go."""
        if position >= self._base:
            return
        if self._size is not None:
            self._start_at(position, position)
            return
        if self._returns >= MOST_RETURNS:
            return
        self._returns += 1
        index = bisect_right(self._positions, position) - 1
        start, offset = self._positions[index], self._offsets[index]
        del self._positions[index:], self._offsets[index:]
        self._breaks = [entry for entry in self._breaks if entry.member < offset]
        self._start_at(start, offset)

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
        return not self.fill(position + 1) and not any(
            entry.at >= position for entry in self._breaks
        )

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
        if not self.is_compressed:
            return position
        self.fill(position + 1)
        index = bisect_right(self._positions, position) - 1
        return self._offsets[index] if index >= 0 else 0

    def starts_member(self, position: int) -> bool:
        """Whether a compressed member begins exactly here."""
        self.fill(position + 1)
        index = bisect_right(self._positions, position) - 1
        return index >= 0 and self._positions[index] == position

    def next_member(self, position: int, stop: int | None = None) -> int | None:
        """Where the first member behind `position` begins; None when none does (before `stop`)."""
        while (index := bisect_right(self._positions, position)) == len(self._positions):
            if (stop is not None and self.end() >= stop) or not self.fill(self.end() + 1):
                return None
        return self._positions[index]

    def take_break(self, start: int, end: int, sure: int, offset: int) -> Break | None:
        """Report, once, bytes lost to broken compression in [start, end].

        From position `sure` on, only a break of the member at `offset` counts: others belong to the
        record that follows.
        """
        self.fill(end)
        for entry in self._breaks:
            if start <= entry.at <= end and (entry.at < sure or entry.member == offset):
                self._breaks.remove(entry)
                return entry
        return None

    def break_at(self, position: int) -> int | None:
        """Offset of a member that broke exactly here, unless it was taken."""
        self.fill(position + 1)
        return next((entry.member for entry in self._breaks if entry.at == position), None)

    def end(self) -> int:
        """The position after the last byte: of an uncompressed file, or of what was read so far."""
        return self._base + len(self._buffer) if self._size is None else self._size
