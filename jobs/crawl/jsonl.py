"""JSONL files, whole or in parts: one JSON object a line with `url`, `text` or `html`, `date`.

Blank lines are no records; a line that is no JSON object costs that line alone. A part [start, end)
has the lines that start in these bytes; the last one is read to its end beyond them, as Hadoop's
LineRecordReader does, so that every line belongs to exactly one part.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from jobs.crawl.compressed import Piece, pieces, plain
from jobs.crawl.record import DAMAGED, Record
from jobs.crawl.rows import row_record


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its end, and what is wrong with it; `offset` counts decompressed bytes."""

    offset: int
    data: bytes
    size: int
    damage: str = ""


def json_lines(
    raw: IO[bytes],
    codec: str,
    url: str,
    max_page_bytes: int,
    start: int = 0,
    end: int | None = None,
) -> Iterator[Record]:
    """The records of a JSONL file, or of its part [start, end) when it is not compressed; `url` is
    the file's own."""
    blocks = pieces(raw, codec) if codec else plain(raw, max(0, start - 1))
    index = 0
    for line in _lines(blocks, start, end, 4 * max_page_bytes + 65536):
        if not line.damage and not line.data.strip():
            continue
        yield _record(index, line, url, max_page_bytes)
        index += 1


def _record(index: int, line: Line, url: str, max_page_bytes: int) -> Record:
    damage = line.damage
    if not damage:
        try:
            values = json.loads(line.data)
        except (ValueError, RecursionError) as error:
            damage = f"no JSON: {error}"[:200]
        else:
            if isinstance(values, dict):
                return row_record(index, line.offset, line.size, values, url, max_page_bytes)
            damage = "no JSON object"
    where = f"{url}#{line.offset}"
    return Record(index, line.offset, "row", where, size=line.size, reason=DAMAGED, detail=damage)


def _lines(
    blocks: Iterator[Piece], start: int, end: int | None, limit_bytes: int
) -> Iterator[Line]:
    """The lines that start in [start, end). Of a line longer than `limit_bytes` nothing is kept.

    The blocks of a part that is not the first begin one byte before it: whether that byte ends a
    line says whether one starts at `start`.
    """
    skipping = start > 0
    offset = max(0, start - 1)
    kept, size = bytearray(), 0
    for piece in blocks:
        at = 0
        while at < len(piece.data):
            stop = piece.data.find(b"\n", at) + 1
            here = stop or len(piece.data)
            size += here - at
            if size > limit_bytes or skipping:
                kept.clear()
            else:
                kept += piece.data[at:here]
            at = here
            if stop:
                if not skipping:
                    yield _line(offset, kept, size, limit_bytes)
                skipping = False
                offset, size = offset + size, 0
                kept.clear()
            if end is not None and offset + size >= end and (stop or skipping):
                return
        if piece.broken:
            yield Line(offset, bytes(kept), size, "broken compression")
            offset, size = offset + size, 0
            kept.clear()
    if size and not skipping:
        yield _line(offset, kept, size, limit_bytes)


def _line(offset: int, kept: bytearray, size: int, limit_bytes: int) -> Line:
    damage = f"a line of more than {limit_bytes} bytes" if size > limit_bytes else ""
    return Line(offset, bytes(kept), size, damage)
