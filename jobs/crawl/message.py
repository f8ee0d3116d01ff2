"""An HTTP response as archives store it: status, headers, body with its encodings undone.

Lenient as archives need it: writers often undo an encoding and leave its header, so a body that is
text, or does not begin as its encoding does, is taken as it is; one that begins right and then
breaks is damaged. RFC 9110, RFC 9112.
"""

import codecs
import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from fastwarc.stream_io import BrotliReader, ZstdReader

from jobs.crawl.headers import header_fields

STATUS_LINE = re.compile(rb"(?:HTTP/\d(?:\.\d)?|ICY)[ \t]+(\d{3})\b[^\r\n]*(?:\r{0,4}\n|$)")
CHUNK_LINE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r{0,4}\n")
BLANK_LINE = re.compile(rb"(?:\A|\r{0,4}\n)\r{0,4}\n")
CODING = re.compile(r"[a-z0-9-]+")
MOST_CODINGS = 5
"""More of them are no page's: each costs the whole body once more."""
CONTENT_RANGE = re.compile(r"bytes\s+0-(\d{1,18})/(\d{1,18})", re.IGNORECASE)
PROBE_BYTES = 4096
CONTROLS = bytes({*range(32)} - {*b"\t\n\v\f\r\x1b"})
CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:+-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """status 0: no status line. `damage`: what is wrong with the body, of which `body` is the
    readable part. `head`: the status line and header lines as stored. `is_short`: the stored body,
    sent without any encoding, is shorter than its Content-Length; one whose encoding an archive's
    writer undid, leaving the length, does not show it. `is_part`: the server sent a part of what
    it has (status 206)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    damage: str = ""
    too_large: bool = False
    head: bytes = b""
    is_short: bool = False
    is_part: bool = False


class TooLarge(Exception):
    """The decoded body exceeds the limit."""


def response(block: bytes, limit_bytes: int) -> Response:
    """Parse a stored response; its decoded body may have at most `limit_bytes`."""
    line = STATUS_LINE.match(block)
    if line is None:
        return Response(0, {}, block, "no HTTP status line")
    start, body = _parts(block, line.end())
    headers = header_fields(block[line.end() : start])
    is_short = is_shorter(headers, len(block) - body)
    head, body_bytes = block[:start], block[body:]
    damage = ""
    try:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body_bytes, damage = dechunk(body_bytes)
        codings = CODING.findall(headers.get("content-encoding", "").lower())
        if len(codings) > MOST_CODINGS:
            codings, damage = [], damage or f"{len(codings)} content encodings, one in another"
        for coding in reversed(codings):
            body_bytes, broken = decode(body_bytes, coding, limit_bytes)
            damage = damage or broken
    except TooLarge:
        return Response(int(line[1]), headers, b"", too_large=True, head=head)
    too_large = len(body_bytes) > limit_bytes
    is_part = int(line[1]) == 206 and not _is_whole(headers.get("content-range", ""))
    return Response(int(line[1]), headers, body_bytes, damage, too_large, head, is_short, is_part)


def _parts(block: bytes, start: int) -> tuple[int, int]:
    """Where the header lines that begin at `start` end, and where the body begins."""
    if block.startswith((b"\n", b"\r\n"), start):
        return start, block.index(b"\n", start) + 1
    blank = BLANK_LINE.search(block, start)
    return blank.span() if blank else (len(block), len(block))


def is_shorter(headers: Mapping[str, str], stored_bytes: int) -> bool:
    """Whether a stored body has fewer bytes than a response without any encoding says it has."""
    said = headers.get("content-length", "")
    encoded = headers.get("transfer-encoding") or headers.get("content-encoding")
    sizes = said.isascii() and said.isdigit() and len(said) < 19
    return sizes and not encoded and stored_bytes < int(said)


def _is_whole(content_range: str) -> bool:
    """Whether a range is all that there is (RFC 9110, 14.4)."""
    found = CONTENT_RANGE.fullmatch(content_range.strip())
    return found is not None and int(found[1]) + 1 == int(found[2])


def content_type(value: str) -> tuple[str, str]:
    """`text/html; charset=X` -> (`text/html`, `X`), empty where absent."""
    found = CHARSET.search(value)
    return value.split(";")[0].split(",")[0].strip().lower(), found[1] if found else ""


def dechunk(body: bytes) -> tuple[bytes, str]:
    """The body without chunked framing and what is wrong with it; a body that does not start with a
    chunk is returned as it is."""
    if not _begins_with_chunk(body):
        return body, ""
    parts: list[bytes] = []
    at = 0
    while line := CHUNK_LINE.match(body, at):
        size = int(line[1], 16)
        if size == 0:
            return b"".join(parts), ""
        chunk = body[line.end() : line.end() + size]
        parts.append(chunk)
        if len(chunk) < size:
            return b"".join(parts), "the body ends within a chunk"
        at = line.end() + size
        at += 2 if body[at : at + 2] == b"\r\n" else 1 if body[at : at + 1] == b"\n" else 0
    return b"".join(parts), "a chunk without a size line" if at < len(
        body
    ) else "the body ends before the last chunk"


def _begins_with_chunk(body: bytes) -> bool:
    """Whether the body begins with a size line and what it announces: a text may begin with a
    number, but what it counts then ends in no line, or it stands on a line that a text has."""
    line = CHUNK_LINE.match(body)
    if line is None:
        return False
    end = line.end() + int(line[1], 16)
    if end == line.end():
        return not body[end:].strip()
    if end > len(body):
        return body[line.end() - 2 : line.end()] == b"\r\n"
    return body[end : end + 1] in (b"\r", b"\n", b"")


def decode(body: bytes, coding: str, limit_bytes: int) -> tuple[bytes, str]:
    """Undo one content coding: (decoded or as it was, what is wrong). Unknown codings change
    nothing. Raises TooLarge."""
    if coding in ("gzip", "x-gzip"):
        return _inflate(body, 31, limit_bytes) if body.startswith(b"\x1f\x8b") else (body, "")
    if is_text(body):
        return body, ""
    if coding == "deflate":
        zlib_wrapped = (
            len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        )
        return _inflate(body, 15 if zlib_wrapped else -15, limit_bytes)
    if coding in ("br", "zstd"):
        return _read(
            BrotliReader(io.BytesIO(body)) if coding == "br" else ZstdReader(io.BytesIO(body)),
            coding,
            limit_bytes,
        )
    return body, ""


def _inflate(body: bytes, window: int, limit_bytes: int) -> tuple[bytes, str]:
    parts: list[bytes] = []
    left = limit_bytes + 1
    while body:
        inner = zlib.decompressobj(window)
        try:
            parts.append(inner.decompress(body, left))
        except zlib.error:
            return b"".join(parts), "broken content encoding"
        left -= len(parts[-1])
        if left <= 0:
            raise TooLarge
        if not inner.eof:
            return b"".join(parts), "the content encoding ends too early"
        body = inner.unused_data if inner.unused_data.startswith(b"\x1f\x8b") else b""
    return b"".join(parts), ""


def _read(reader: BrotliReader | ZstdReader, coding: str, limit_bytes: int) -> tuple[bytes, str]:
    parts: list[bytes] = []
    size = 0
    try:
        while data := reader.read(1 << 16):
            parts.append(data)
            size += len(data)
            if size > limit_bytes:
                raise TooLarge
    except OSError:
        return b"".join(parts), f"broken content encoding ({coding})"
    return b"".join(parts), ""


def is_text(body: bytes) -> bool:
    """Whether the body begins as UTF-8 or markup does, and has hardly a control byte in its first
    kilobytes, of which compressed ones have many."""
    head = body[:PROBE_BYTES]
    if has_controls(head):
        return False
    if head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"<", b"{", b"["):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def has_controls(head: bytes) -> bool:
    """Whether bytes have more control bytes than a text may; a stray one is forgiven."""
    return (len(head) - len(head.translate(None, CONTROLS))) * 100 > len(head)
