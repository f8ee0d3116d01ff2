"""What a crawl file is: a name that says page or text is believed, else the content decides.

What a folder of pages holds was written by strangers: a page that begins as an archive would make
records under URLs of its own choice. So only a name that says nothing, or that says archive or
table, lets the content say archive.
"""

import ipaddress
import re

from jobs.crawl.archives import HTML_STARTS, is_binary
from jobs.crawl.headers import arc_line

HEAD_BYTES = 1 << 12
"""How much of a file's beginning is looked at."""
PARQUET_MAGIC = b"PAR1"
COMPRESSION_SUFFIX = re.compile(r"\.(gz|zst|zstd|lz4|bz2|xz|bad)$", re.IGNORECASE)
KINDS = {
    **dict.fromkeys(("warc", "wet", "wat"), "warc"),
    "arc": "arc",
    **dict.fromkeys(("jsonl", "ndjson", "json"), "jsonl"),
    **dict.fromkeys(("html", "htm", "xhtml"), "html"),
    **dict.fromkeys(("txt", "text", "md"), "text"),
}
"""What a suffix says."""


def kind_of(head: bytes, name: str) -> str:
    """`warc`, `arc`, `jsonl`, `html`, `text` or empty, from a file's first (decompressed) bytes and
    its base name."""
    start = head.lstrip(b"\r\n \t\xef\xbb\xbf")
    said = _said(name)
    if not _is_page(said):
        if start.startswith(b"WARC/"):
            return "warc"
        if begins_arc(start):
            return "arc"
    kind = said[-1]
    if kind not in ("", "text"):
        return kind
    if is_binary(head):
        return ""
    if kind == "text":
        return kind
    if start.startswith(b"{"):
        return "jsonl"
    return "html" if start.lower().startswith(HTML_STARTS) else "text"


def is_parquet(head: bytes, name: str) -> bool:
    """Whether a file with these first bytes and this base name is a Parquet table."""
    return head.startswith(PARQUET_MAGIC) and not _is_page(_said(name))


def begins_arc(start: bytes) -> bool:
    """Whether these bytes begin an ARC file: with its file header, or with the line of a page, as a
    file without one does. A line of a text has no address and no time to the second."""
    fields = arc_line(start)
    if fields is None:
        return start.startswith(b"filedesc://")
    scheme, date = fields["url"].partition("://")[0].lower(), fields["date"]
    if scheme == "filedesc":
        return True
    return scheme in ("http", "https") and len(date) == 14 and _is_ip(fields["address"])


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _said(name: str) -> list[str]:
    """What each suffix of a base name says, one of KINDS or empty; the last one says what it is."""
    suffixes = COMPRESSION_SUFFIX.sub("", name.lower()).split(".")[1:]
    return [KINDS.get(suffix, "") for suffix in suffixes] or [""]


def _is_page(said: list[str]) -> bool:
    """Whether a name says page or text, and not archive too, as `x.warc.txt` does."""
    return said[-1] in ("html", "text") and not {"warc", "arc"} & set(said)
