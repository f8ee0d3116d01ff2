"""Where records begin and end in a WARC or ARC file, also in a damaged one.

Every frame found is yielded, every damaged stretch yields exactly one frame that says so, and
reading goes on at the next header. fastwarc's iterator stops at the first damage, takes a cut
record for a whole one and does not say how far it got; so the framing is here, and every byte of
the file belongs to a frame or to the blank lines between two.

WARC 1.1 (ISO 28500:2017), ARC 1.0 and 2.0.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from jobs.crawl.stream import WINDOW_BYTES, Stream

HEADER_BYTES = 1 << 20
WARC_MARK = re.compile(rb"WARC/\d\.\d{1,2}[ \t]{0,64}\r{0,4}\n[A-Za-z][A-Za-z0-9-]{0,64}[ \t]*:")
WARC_LINE = re.compile(rb"WARC/\d\.\d{1,2}[ \t]{0,64}\r{0,4}\n")
ARC_LINE = re.compile(
    rb"([A-Za-z][A-Za-z0-9+.-]{0,32}:[^\r\n]{0,65536}?) (\S{1,64}) (\d{8,20}) ([^\r\n]{0,1024}?) ?"
    rb"([^\s]{1,32})[ \t]{0,64}\r{0,4}\n"
)
ARC_MARK = re.compile(
    rb"(?<=\n)[A-Za-z][A-Za-z0-9+.-]{0,32}:[^\r\n]{0,4096}? \S{1,64} \d{8,20} "
    rb"[^\r\n]{0,1024}?[^\s]{1,32}[ \t]{0,64}\r{0,4}\n"
)
BLANK_LINE = re.compile(rb"\r{0,4}\n[ \t]{0,64}\r{0,4}\n")


@dataclass(frozen=True, slots=True)
class Head:
    """A parsed record header: its fields by lower-case name, where the block begins, how long it
    says it is (None: no valid length)."""

    fields: Mapping[str, str]
    body: int
    length: int | None


@dataclass(frozen=True, slots=True)
class Frame:
    """A record's place and content. `block` has at most the bytes asked for; `damage` says what is
    wrong, empty when nothing is."""

    offset: int
    fields: Mapping[str, str] = field(default_factory=dict)
    block: bytes = b""
    size: int = 0
    damage: str = ""


@dataclass(frozen=True)
class Format:
    """How a header is read, and how to find the next one in the middle of anything."""

    head: Callable[[Stream, int], Head | None]
    mark: re.Pattern[bytes]


def header_fields(text: bytes) -> dict[str, str]:
    """`Name: value` lines as a dict with lower-case names; a folded line continues the one before,
    the first of a name counts."""
    fields: dict[str, str] = {}
    last = ""
    for line in text.decode("utf-8", "replace").splitlines():
        if line[:1] in (" ", "\t") and last:
            fields[last] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        last = name.strip().lower() if colon else ""
        if last:
            fields.setdefault(last, value.strip())
    return fields


def _warc_head(stream: Stream, position: int) -> Head | None:
    line = stream.match(WARC_LINE, position, 64)
    if line is None:
        return None
    reach = 4096
    while True:
        text = stream.read(position, position + reach)
        blank = BLANK_LINE.search(text, line.end() - 2)
        if blank:
            fields = header_fields(text[line.end() : blank.start()])
            return Head(fields, position + blank.end(), _length(fields.get("content-length", "")))
        if len(text) < reach or reach >= HEADER_BYTES:
            return None
        reach *= 4


def _arc_head(stream: Stream, position: int) -> Head | None:
    line = stream.match(ARC_LINE, position, 1 << 17)
    if line is None:
        return None
    url, address, date, middle, length = (part.decode("utf-8", "replace") for part in line.groups())
    fields = {"url": url, "address": address, "date": date, "mime": middle.split(" ")[0]}
    return Head(fields, position + line.end(), _length(length))


def _length(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


WARC = Format(_warc_head, WARC_MARK)
ARC = Format(_arc_head, ARC_MARK)


def frames(stream: Stream, form: Format, block_bytes: int) -> Iterator[Frame]:
    """All frames of a file, in order. Of a block longer than `block_bytes` only that much is
    given."""
    position = 0
    while True:
        position = _skip_blank(stream, position)
        stream.release(position)
        broken = stream.take_break(position, position, position + 1, -1)
        if broken:
            yield Frame(broken[1], damage="broken compression")
            continue
        if stream.at_end(position):
            return
        offset = stream.offset(position)
        head = form.head(stream, position)
        lost = (
            None if head is None else stream.take_break(position + 1, head.body, head.body, offset)
        )
        if head is None or head.length is None or lost:
            after = (
                lost[0] if lost else _next_mark(stream, form, head.body if head else position + 1)
            )
            stream.take_break(position + 1, after, after, offset)
            damage = (
                "broken compression"
                if lost
                else "no record header here"
                if head is None
                else "no valid length in the header"
            )
            yield Frame(
                offset,
                {} if head is None or lost else head.fields,
                size=after - position,
                damage=damage,
            )
            position = after
            continue
        stop, damage = _end_of(stream, form, head, offset)
        yield Frame(
            offset,
            head.fields,
            stream.read(head.body, min(stop, head.body + block_bytes)),
            stop - head.body,
            damage,
        )
        position = stop


def _end_of(stream: Stream, form: Format, head: Head, offset: int) -> tuple[int, str]:
    """Where the block really ends and what is wrong with it."""
    assert head.length is not None
    end = head.body + head.length
    if head.length > WINDOW_BYTES // 2:
        swallowed = stream.find(form.mark, head.body, HEADER_BYTES, end)
        if swallowed is not None:
            return swallowed, "the length in the header is too long"
    whole = stream.fill(end)
    stop = end if whole else stream.end()
    after = _skip_blank(stream, stop)
    broken = stream.take_break(head.body, after, stop if whole else after, offset)
    if broken:
        return min(stop, broken[0]), "broken compression"
    if whole and _is_boundary(stream, form, after):
        return stop, ""
    swallowed = stream.find(form.mark, head.body, HEADER_BYTES, stop)
    if swallowed is not None:
        return swallowed, "the length in the header is too long"
    return stop, "" if whole else "the file ends within the record"


def _is_boundary(stream: Stream, form: Format, position: int) -> bool:
    if (
        stream.at_end(position)
        or stream.starts_member(position)
        or stream.break_at(position) is not None
    ):
        return True
    return form.head(stream, position) is not None


def _next_mark(stream: Stream, form: Format, start: int) -> int:
    found = stream.find(form.mark, start, HEADER_BYTES)
    return stream.end() if found is None else found


def _skip_blank(stream: Stream, position: int) -> int:
    while True:
        here = stream.read(position, position + 64)
        blank = len(here) - len(here.lstrip(b"\r\n"))
        position += blank
        if blank < 64:
            return position
