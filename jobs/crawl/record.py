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
ROBOTS_TXT = "robots_txt"

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
}

UNSPECIFIED, HTTP_LENGTH = "unspecified", "http_length"
RECORD_LENGTH, RECOVERED = "record_length", "recovered"

TRUNCATED = {
    "length": "the archive's writer stopped at its limit of bytes (WARC-Truncated)",
    "time": "the archive's writer stopped at its limit of time (WARC-Truncated)",
    "disconnect": "the connection ended too early (WARC-Truncated)",
    UNSPECIFIED: "the archive's writer did not store all, for another reason (WARC-Truncated)",
    HTTP_LENGTH: "the stored body is shorter than the response's Content-Length",
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
