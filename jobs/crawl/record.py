"""One record of a crawl file, and the closed set of reasons why one is not a document.

A reader yields one `Record` for every record it finds, wanted or not, so that the rows of a step
add up to what the file holds.
"""

from dataclasses import dataclass
from datetime import datetime

UNREADABLE = "unreadable"
EMPTY_FILE = "empty_file"
DAMAGED = "damaged"
NOT_A_RESPONSE = "not_a_response"
REVISIT = "revisit"
HTTP_ERROR = "http_error"
NOT_HTML_OR_TEXT = "not_html_or_text"
TOO_LARGE = "too_large"
EMPTY = "empty"
TOO_SLOW = "too_slow"
TOO_MUCH_MEMORY = "too_much_memory"
FAILED = "failed"

REASONS = {
    UNREADABLE: "the file cannot be opened, or its format is none that is read",
    EMPTY_FILE: "the file holds no bytes, or no record",
    DAMAGED: "broken compression, a malformed header, wrong lengths or chunks, a row that is none, "
    "or a file that ends within the record",
    NOT_A_RESPONSE: "no captured page: request, warcinfo, metadata, DNS answer, file header, "
    "unknown type",
    REVISIT: "a note that a page was seen again unchanged; it has no content",
    HTTP_ERROR: "the server's status is outside 200-299",
    NOT_HTML_OR_TEXT: "the content is neither HTML nor plain text",
    TOO_LARGE: "the page is larger than the limit",
    EMPTY: "no main text, or less than the minimum",
    TOO_SLOW: "reading the page takes more processor time than `extract.max_page_seconds`, which "
    "may be raised, or its markup is built as no page is: too deep, too many attributes or options",
    TOO_MUCH_MEMORY: "reading the page takes more memory than `extract.max_page_memory_bytes`, "
    "which may be raised, or it has over a million tags",
    FAILED: "reading the page ended in an exception or in a crash of the parser: please report it",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    index    0, 1, 2 ... within what is read, a file or a part of it, without gaps
    offset   byte offset in the file: of the record, or of the compressed member that its first byte
             is in; of a JSONL line in the decompressed file; row number in Parquet
    kind     WARC-Type in lower case, `arc`, `html`, `text`, `row`; empty where damage hides it
    url      target URI; of a file without one `file:///<base name>`, of a row `#offset` behind that
    date     time of capture, None where unknown
    mime     content type in lower case without parameters: HTTP's, else the record's, else by the
             file's format
    charset  of the HTTP or record content type, else empty
    payload  body with transfer and content encodings undone; empty when `text` is given or the
             record is rejected early
    text     ready text (WET, JSONL, Parquet), else None
    size     bytes of the record's block as stored (after decompression of the archive)
    reason   one of REASONS, or None for a page
    detail   what exactly was wrong, for people
    """

    index: int
    offset: int
    kind: str
    url: str = ""
    date: datetime | None = None
    mime: str = ""
    charset: str = ""
    payload: bytes = b""
    text: str | None = None
    size: int = 0
    reason: str | None = None
    detail: str = ""
