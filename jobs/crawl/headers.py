"""Headers of WARC and ARC records: how one is read, and how to find the next in any bytes.

Reading takes time in proportion to the bytes looked at, whatever they are: a header ends at its
blank line or where the next one begins, and no pattern here tries a byte in more than a few ways.

WARC 1.1 (ISO 28500:2017), ARC 1.0 and 2.0.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from jobs.crawl.stream import Stream

HEADER_BYTES = 1 << 20
MARK_BYTES = 1 << 13
WARC_MARK = re.compile(rb"WARC/\d\.\d{1,2}[ \t]{0,64}\r{0,4}\n[A-Za-z][A-Za-z0-9-]{0,64}[ \t]*:")
WARC_LINE = re.compile(rb"WARC/\d\.\d{1,2}[ \t]{0,64}\r{0,4}\n")
BLANK_LINE = re.compile(rb"\r{0,4}\n[ \t]{0,64}\r{0,4}\n")
ARC_LINE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{0,32}:[^\r\n]{0,131000}\r{0,4}\n")
ARC_MARK = re.compile(
    rb"(?<=\n)[A-Za-z][A-Za-z0-9+.-]{0,32}:[^\r\n]{1,6000}[0-9][ \t]{0,64}\r{0,4}\n"
)
ARC_DATE = re.compile(rb"\d{8,20}")
MANDATORY = ("warc-record-id", "warc-date", "warc-type")


@dataclass(frozen=True, slots=True)
class Head:
    """A parsed record header: its fields by lower-case name, where the block begins, how long it
    says it is (None: no valid length)."""

    fields: Mapping[str, str]
    body: int
    length: int | None


@dataclass(frozen=True)
class Format:
    """How a header is read, how to find what may be one in the middle of anything, and which fields
    each has (WARC 1.1, section 5)."""

    head: Callable[[Stream, int], Head | None]
    mark: re.Pattern[bytes]
    mandatory: tuple[str, ...]

    def next_head(self, stream: Stream, start: int, stop: int | None = None) -> int | None:
        """Where the next complete header begins in [start, stop)."""
        while (at := stream.find(self.mark, start, MARK_BYTES, stop)) is not None:
            head = self.head(stream, at)
            if head and all(map(head.fields.get, self.mandatory)):
                return at
            start = at + 1
        return None


def header_lines(text: bytes) -> Iterator[tuple[str, str]]:
    """The `Name: value` lines of a header in order, names in lower case; a folded line continues
    the one before, what is neither is left out. A line ends at LF alone: whatever else a library
    takes for an end may stand in a URL that a page chose."""
    name, value = "", ""
    for line in text.decode("utf-8", "replace").split("\n"):
        if line[:1] in (" ", "\t") and name:
            value += " " + line.strip()
            continue
        if name:
            yield name, value
        name, colon, value = line.partition(":")
        name, value = name.strip().lower() if colon else "", value.strip()
    if name:
        yield name, value


def header_fields(text: bytes) -> dict[str, str]:
    """The lines as a dict; the first of a name counts."""
    fields: dict[str, str] = {}
    for name, value in header_lines(text):
        fields.setdefault(name, value)
    return fields


def arc_line(start: bytes) -> dict[str, str] | None:
    """The fields of the ARC header line that these bytes start with: `URL IP date type ... length`.
    A URL may hold blanks: the date tells where it ends."""
    line = ARC_LINE.match(start)
    if line is None:
        return None
    words = line[0].rstrip(b" \t\r\n").split(b" ")
    date = next((n for n, word in enumerate(words[2:], 2) if ARC_DATE.fullmatch(word)), len(words))
    if date + 1 >= len(words) or not words[date - 1]:
        return None
    names = ("url", "address", "date", "mime", "length")
    values = (
        *(b" ".join(words[: date - 1]), words[date - 1], words[date]),
        *(words[date + 1] if date + 2 < len(words) else b"", words[-1]),
    )
    return {n: value.decode("utf-8", "replace") for n, value in zip(names, values, strict=True)}


def _warc_head(stream: Stream, position: int) -> Head | None:
    line = stream.match(WARC_LINE, position, 96)
    if line is None:
        return None
    reach = 4096
    while True:
        text = stream.read(position, position + reach)
        stop = _next_line(text, line.end())
        blank = BLANK_LINE.search(text, line.end() - 2, stop)
        if blank:
            fields = header_fields(text[line.end() : blank.start()])
            return Head(fields, position + blank.end(), _length(fields.get("content-length", "")))
        if stop < len(text) or len(text) < reach or reach >= HEADER_BYTES:
            return None
        reach *= 4


def _next_line(text: bytes, start: int) -> int:
    """Where the next header's first line begins, or the end of the text."""
    while (start := text.find(b"WARC/", start)) >= 0:
        if WARC_LINE.match(text, start):
            return start
        start += 1
    return len(text)


def _arc_head(stream: Stream, position: int) -> Head | None:
    for reach in (4096, 1 << 17):
        line = stream.match(ARC_LINE, position, reach)
        if line is not None:
            fields = arc_line(line[0])
            if fields is None:
                return None
            return Head(fields, position + line.end(), _length(fields["length"]))
    return None


def _length(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


WARC = Format(_warc_head, WARC_MARK, MANDATORY)
ARC = Format(_arc_head, ARC_MARK, ())
