"""An HTTP response as archives store it: status, headers, body with its encodings undone.

Lenient as archives need it: writers often undo an encoding and leave its header, so a body that
does not look encoded is taken as it is; one that begins right and then breaks is damaged. RFC 9110,
RFC 9112.
"""

import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from fastwarc.stream_io import BrotliReader, ZstdReader

from jobs.crawl.framing import header_fields

STATUS_LINE = re.compile(rb"(?:HTTP/\d(?:\.\d)?|ICY)[ \t]+(\d{3})\b[^\r\n]*(?:\r{0,4}\n|$)")
CHUNK_LINE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r{0,4}\n")
BLANK_LINE = re.compile(rb"(?:\A|\r{0,4}\n)\r{0,4}\n")
CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:+-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """status 0: no status line. `damage`: what is wrong with the body, of which `body` is the
    readable part."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    damage: str = ""
    too_large: bool = False


class TooLarge(Exception):
    """The decoded body exceeds the limit."""


def response(block: bytes, limit_bytes: int) -> Response:
    """Parse a stored response; its decoded body may have at most `limit_bytes`."""
    line = STATUS_LINE.match(block)
    if line is None:
        return Response(0, {}, block, "no HTTP status line")
    blank = BLANK_LINE.search(block, line.end())
    after = block[line.end() : line.end() + 2]
    if after.startswith((b"\n", b"\r\n")):
        headers, body = {}, block[line.end() + (1 if after.startswith(b"\n") else 2) :]
    elif blank is None:
        headers, body = header_fields(block[line.end() :]), b""
    else:
        headers, body = header_fields(block[line.end() : blank.start()]), block[blank.end() :]
    damage = ""
    try:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body, damage = dechunk(body)
        for coding in reversed(
            re.findall(r"[a-z0-9-]+", headers.get("content-encoding", "").lower())
        ):
            body, broken = decode(body, coding, limit_bytes)
            damage = damage or broken
    except TooLarge:
        return Response(int(line[1]), headers, b"", too_large=True)
    return Response(int(line[1]), headers, body, damage, len(body) > limit_bytes)


def content_type(value: str) -> tuple[str, str]:
    """`text/html; charset=X` -> (`text/html`, `X`), empty where absent."""
    found = CHARSET.search(value)
    return value.split(";")[0].split(",")[0].strip().lower(), found[1] if found else ""


def dechunk(body: bytes) -> tuple[bytes, str]:
    """The body without chunked framing and what is wrong with it; a body that does not start with a
    chunk is returned as it is."""
    if not CHUNK_LINE.match(body):
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


def decode(body: bytes, coding: str, limit_bytes: int) -> tuple[bytes, str]:
    """Undo one content coding: (decoded or as it was, what is wrong). Unknown codings change
    nothing. Raises TooLarge."""
    if coding in ("gzip", "x-gzip"):
        return _inflate(body, 31, limit_bytes) if body.startswith(b"\x1f\x8b") else (body, "")
    if coding == "deflate":
        if _is_text(body):
            return body, ""
        zlib_wrapped = (
            len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        )
        return _inflate(body, 15 if zlib_wrapped else -15, limit_bytes)
    if coding in ("br", "zstd") and body and not _is_text(body):
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


def _is_text(body: bytes) -> bool:
    return body.lstrip()[:1] in (b"<", b"{", b"[")
