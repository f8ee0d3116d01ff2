"""One record of a crawl file as one row of `documents`: a document, or why it is none.

In: a `Record`. Out: a dict with the columns of `SCHEMA`. The same record gives the same row
wherever and in whichever order it is read; a rejected row has no text.
"""

import hashlib
import re
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from jobs.crawl.archives import HTML_TYPES
from jobs.crawl.record import EMPTY, Record
from jobs.page.main_content import main_content
from jobs.text.charset import decode
from jobs.text.language import language
from jobs.text.words import count_words

SCHEMA = pa.schema(
    [
        ("doc_id", pa.binary()),
        ("url", pa.string()),
        ("domain", pa.string()),
        ("source", pa.string()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("fetched_at", pa.timestamp("us", tz="UTC")),
        ("mime", pa.string()),
        ("charset", pa.string()),
        ("lang", pa.string()),
        ("lang_score", pa.float32()),
        ("title", pa.string()),
        ("extractor", pa.string()),
        ("text", pa.string()),
        ("n_bytes", pa.int64()),
        ("n_chars", pa.int64()),
        ("n_words", pa.int64()),
        ("reject_reason", pa.string()),
        ("detail", pa.string()),
    ]
)
"""
doc_id         16 bytes, see `doc_id`
domain         host of the URL
source         which crawl: the file's name without shard number and extensions
warc_file      base name of the crawl file
warc_offset    place in the file: `Record.offset`
fetched_at     time of capture, null where unknown
charset        what the text was decoded by; of a rejected row what was declared
lang           ISO 639-1, or 639-2 or -3 where there is none, or `unknown`; null for a rejected row,
               as are lang_score and text
extractor      `resiliparse` for a page's main content, `verbatim` for text
n_bytes        bytes of the text in UTF-8; n_chars: its code points; n_words: words of the text
(`jobs.text.words`)
reject_reason  one of `jobs.crawl.REASONS`, null for a document
detail         what exactly was wrong, for people; null where there is nothing to add
"""

SHARD_NUMBER = re.compile(r"[-_.](?:part[-_]?)?\d{2,}$", re.IGNORECASE)
EXTENSIONS = re.compile(
    r"(\.(warc|arc|wet|wat|html?|xhtml|txt|text|md|jsonl|ndjson|json|parquet"
    r"|gz|zst|zstd|lz4|bz2|xz))+$",
    re.IGNORECASE,
)


def document(record: Record, file: str, min_chars: int) -> dict[str, Any]:
    """The row of one record of the crawl file with base name `file`; a page with less than
    `min_chars` characters of main text is rejected as `empty`."""
    reason, detail = record.reason, record.detail
    title = text = charset = extractor = None
    if reason is None:
        title, text, charset, extractor = content(record)
        size = len(text.strip())
        if size < min_chars:
            reason, detail = EMPTY, f"{size} characters of main text"
    kept = text if reason is None else None
    lang, lang_score = language(kept) if kept is not None else (None, None)
    payload = record.payload if record.text is None else record.text.encode("utf-8", "replace")
    return {
        "doc_id": doc_id(record.url or f"{file}#{record.offset}.{record.index}", payload),
        "url": record.url,
        "domain": domain_of(record.url),
        "source": source_of(file),
        "warc_file": file,
        "warc_offset": record.offset,
        "fetched_at": record.date,
        "mime": record.mime,
        "charset": charset or record.charset or None,
        "lang": lang,
        "lang_score": lang_score,
        "title": title,
        "extractor": extractor,
        "text": kept,
        "n_bytes": len((kept or "").encode("utf-8", "replace")),
        "n_chars": len(kept or ""),
        "n_words": count_words(kept) if kept else 0,
        "reject_reason": reason,
        "detail": (detail or None) if reason else None,
    }


def content(record: Record) -> tuple[str | None, str, str, str]:
    """(title, text, charset, extractor) of a page."""
    if record.text is not None:
        return None, record.text, "utf-8", "verbatim"
    text, charset = decode(record.payload, record.charset)
    if record.mime not in HTML_TYPES:
        return None, text, charset, "verbatim"
    title, text = main_content(text)
    return title, text, charset, "resiliparse"


def doc_id(url: str, payload: bytes) -> bytes:
    """16 bytes that name a document: its URL and what was there, never where it was stored or in
    which order it was read."""
    return hashlib.blake2b(
        url.encode() + b"\0" + hashlib.sha256(payload).digest(), digest_size=16
    ).digest()


def source_of(file: str) -> str:
    """`web` of `web-00000.warc.gz`: the base name without extensions and shard number."""
    stem = EXTENSIONS.sub("", file)
    return SHARD_NUMBER.sub("", stem) or stem or file


def domain_of(url: str) -> str:
    """The URL's host in lower case, without `www.` and port; empty where it has none."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.")
