"""What a crawl file is: the content decides, the name only between kinds of text."""

import os
import re

from jobs.crawl.archives import HTML_STARTS, is_binary
from jobs.crawl.headers import arc_line

HEAD_BYTES = 1 << 12
"""How much of a file's beginning is looked at."""
PARQUET_MAGIC = b"PAR1"
COMPRESSION_SUFFIX = re.compile(r"\.(gz|zst|zstd|lz4|bz2|xz|bad)$", re.IGNORECASE)


def kind_of(head: bytes, name: str) -> str:
    """`warc`, `arc`, `jsonl`, `html`, `text` or empty, from a file's first (decompressed) bytes and
    its base name."""
    start = head.lstrip(b"\r\n \t\xef\xbb\xbf")
    if start.startswith(b"WARC/"):
        return "warc"
    if start.startswith(b"filedesc:") or arc_line(start):
        return "arc"
    suffix = os.path.splitext(COMPRESSION_SUFFIX.sub("", name.lower()))[1]
    if suffix in (".warc", ".wet", ".wat", ".arc"):
        return suffix[1:] if suffix == ".arc" else "warc"
    if suffix in (".jsonl", ".ndjson", ".json"):
        return "jsonl"
    if suffix in (".html", ".htm", ".xhtml"):
        return "html"
    if is_binary(head):
        return ""
    if suffix in (".txt", ".text", ".md"):
        return "text"
    if start.startswith(b"{"):
        return "jsonl"
    return "html" if start.lower().startswith(HTML_STARTS) else "text"
