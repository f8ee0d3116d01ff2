"""Files that are one document: an HTML page or a text."""

from collections.abc import Iterator
from typing import IO

from jobs.crawl.archives import is_binary
from jobs.crawl.compressed import pieces
from jobs.crawl.record import DAMAGED, NOT_HTML_OR_TEXT, TOO_LARGE, Record


def whole(raw: IO[bytes], codec: str, url: str, kind: str, max_page_bytes: int) -> Iterator[Record]:
    """A file that is one document: `html` to extract from, or `text` to keep as it is."""
    parts: list[bytes] = []
    size = 0
    broken = ""
    for piece in pieces(raw, codec):
        broken = broken or piece.broken
        size += len(piece.data)
        if size > max_page_bytes:
            detail = f"more than {max_page_bytes} bytes"
            yield Record(0, 0, kind, url, size=size, reason=TOO_LARGE, detail=detail)
            return
        parts.append(piece.data)
    body = b"".join(parts)
    mime = "text/html" if kind == "html" else "text/plain"
    if broken:
        yield Record(0, 0, kind, url, mime=mime, size=size, reason=DAMAGED, detail=broken)
    elif is_binary(body):
        yield Record(0, 0, kind, url, size=size, reason=NOT_HTML_OR_TEXT, detail="binary content")
    else:
        yield Record(0, 0, kind, url, mime=mime, payload=body, size=size)
