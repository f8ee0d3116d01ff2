"""JSONL files, whole or in parts: one JSON object a line with `url`, `text` or `html`, `date`.

Blank lines are no records; a line that is no JSON object costs that line alone. A part [start, end)
has the lines that start in these bytes; the last one is read to its end beyond them, as Hadoop's
LineRecordReader does, so that every line belongs to exactly one part.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import IO

from jobs.crawl.compressed import Piece, pieces, plain
from jobs.crawl.record import DAMAGED, DETAIL_CHARS, TOO_LARGE, TOO_MUCH_MEMORY, Record, caught
from jobs.crawl.rows import row_record

MOST_VALUES = 1 << 21
"""A line has at most so many JSON values, which take some 60 to 100 bytes each."""
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
STRUCTURE = (b",", b"[", b"{")


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its end; without its data where it is too long. `offset` counts decompressed
    bytes; `broken`: what is wrong with the compression behind these bytes."""

    offset: int
    data: bytes
    size: int
    broken: str = ""


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
    for line in _lines(blocks, start, end, _longest(max_page_bytes)):
        if len(line.data) == line.size and not line.broken and not line.data.strip():
            continue
        make = partial(_record, index, line, url, max_page_bytes)
        yield caught(make, Record(index, line.offset, "row", size=line.size))
        index += 1


def _record(index: int, line: Line, url: str, max_page_bytes: int) -> Record:
    where = f"{url}#{line.offset}"
    base = Record(index, line.offset, "row", where, size=line.size, reason=DAMAGED)
    if line.broken:
        return replace(base, kind="", detail=line.broken)
    if line.size > _longest(max_page_bytes):
        return replace(base, reason=TOO_LARGE, detail=f"a line of {line.size} bytes")
    if has_too_many_values(line.data):
        return replace(base, reason=TOO_MUCH_MEMORY, detail=f"over {MOST_VALUES} JSON values")
    try:
        values = json.loads(line.data)
    except (ValueError, RecursionError) as error:
        return replace(base, detail=f"no JSON: {error}"[:DETAIL_CHARS])
    if not isinstance(values, dict):
        return replace(base, detail="no JSON object")
    return row_record(index, line.offset, line.size, values, url, max_page_bytes)


def has_too_many_values(data: bytes) -> bool:
    """Whether a line has more than MOST_VALUES strings and signs of structure outside of them; what
    is inside of them is text, whatever it looks like."""
    most = sum(map(data.count, (*STRUCTURE, b'"'))) if len(data) > MOST_VALUES else 0
    if most <= MOST_VALUES:
        return False
    values, at = 0, 0
    for string in STRING.finditer(data):
        values += 1 + sum(data.count(sign, at, string.start()) for sign in STRUCTURE)
        if values > MOST_VALUES:
            return True
        at = string.end()
    return values + sum(data.count(sign, at) for sign in STRUCTURE) > MOST_VALUES


def _longest(max_page_bytes: int) -> int:
    """How long a line may be: JSON may take several bytes for one of a text."""
    return 4 * max_page_bytes + 65536


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
                    yield Line(offset, bytes(kept), size)
                skipping = False
                offset, size = offset + size, 0
                kept.clear()
            if end is not None and offset + size >= end and (stop or skipping):
                return
        if piece.broken:
            yield Line(offset, b"", size, broken=piece.broken)
            offset, size = offset + size, 0
            kept.clear()
    if size and not skipping:
        yield Line(offset, bytes(kept), size)
