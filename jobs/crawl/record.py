"""One record of a crawl file, and the closed set of reasons why one is not a document.

A reader yields one `Record` for every record it finds, wanted or not, so that the rows of a step
add up to what the file holds.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from infra.show import well_formed

UNREADABLE = "unreadable"
EMPTY_FILE = "empty_file"
DAMAGED = "damaged"
NOT_A_RESPONSE = "not_a_response"
REVISIT = "revisit"
HTTP_ERROR = "http_error"
NOT_HTML_OR_TEXT = "not_html_or_text"
TOO_LARGE = "too_large"
EMPTY = "empty"
ROBOTS_TXT = "robots_txt"
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
    ROBOTS_TXT: "a site's rules for crawlers: evidence, no page",
    REVISIT: "a note that a page was seen again unchanged; it has no content",
    HTTP_ERROR: "the server's status is outside 200-299",
    NOT_HTML_OR_TEXT: "the content is neither HTML nor plain text",
    TOO_LARGE: "the page is larger than the limit",
    EMPTY: "no main text, or less than the minimum",
    TOO_SLOW: "reading the page takes more processor time than `extract.max_page_seconds`, which "
    "may be raised, or its markup is built as no page is: too deep, too many attributes or options",
    TOO_MUCH_MEMORY: "reading the page takes more memory than `extract.max_page_memory_bytes`, "
    "which may be raised, or it has over a million tags, a JSON line over two million values",
    FAILED: "reading it raised an error that nobody foresaw, or crashed the parser (see `detail`)",
}
DETAIL_CHARS = 200


def said(error: Exception) -> str:
    """An unforeseen error for `detail`: its type and what it says, one line of valid text."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return well_formed(text)[:DETAIL_CHARS]


UNSPECIFIED, HTTP_LENGTH, HTTP_PART = "unspecified", "http_length", "http_part"
RECORD_LENGTH, RECOVERED = "record_length", "recovered"

TRUNCATED = {
    "length": "the archive's writer stopped at its limit of bytes (WARC-Truncated)",
    "time": "the archive's writer stopped at its limit of time (WARC-Truncated)",
    "disconnect": "the connection ended too early (WARC-Truncated)",
    UNSPECIFIED: "the archive's writer did not store all, for another reason (WARC-Truncated)",
    HTTP_LENGTH: "the stored body is shorter than the response's Content-Length",
    HTTP_PART: "the server sent a part of what it has (status 206)",
    RECORD_LENGTH: "the record's length is too short: bytes follow that belong to no record",
    RECOVERED: "found by searching behind damage, whole by its own length (`jobs.crawl.trust`)",
}
"""Why a page may not be all that the server had, WARC 1.1, section 5.13, and our own findings."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    index    0, 1, 2 ... within what is read, a file or a part of it, without gaps
    offset   byte offset in the file: of the record, or of the compressed member that its first byte
             is in; of a JSONL line in the decompressed file; row number in Parquet
    kind     WARC-Type in lower case, `arc`, `html`, `text`, `row` (of a table: offsets are unique);
             empty where damage hides it
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
    truncated     one of TRUNCATED, empty where nothing says that something is missing
    http_headers  the response's status line and headers (`jobs.crawl.evidence`); empty without one
    evidence      the body of a robots.txt
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
    truncated: str = ""
    http_headers: str = ""
    evidence: bytes = b""


@dataclass(frozen=True, slots=True)
class Origin:
    """The crawl file of a record, as its row tells it.

    name    the file's own name
    source  declared by the user, else the folder's name
    key     8 bytes: the file's content, and which of the files with that content it is
    start   where the part begins of a file that is read in parts, else None
    """

    name: str
    source: str
    key: bytes
    start: int | None = None

    def row_id(self, record: Record) -> bytes:
        """16 bytes that no other record of the crawl has: the file's key, then the record's number.
        A table's row is numbered by its offset, however the file is cut; all others are counted."""
        if record.kind == "row":
            number = record.offset
        else:  # in a part there is at most one, behind which the reader did not come
            number = (1 << 63) + (record.index if self.start is None else self.start)
        return self.key + number.to_bytes(8, "big")


@dataclass
class Found:
    """What the reader of a file, or of a part of one, has found by its own count.

    bytes_read  how far into the file it has read; of a part, bytes of the part
    """

    records: int = 0
    bytes_read: int = 0


def caught(make: Callable[[], Record], place: Record) -> Record:
    """What `make` makes; where that raises, whatever it is, the record `place`, which says so."""
    try:
        return make()
    except Exception as error:
        return replace(place, reason=FAILED, detail=said(error))
