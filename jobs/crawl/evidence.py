"""What a capture says of its permission and its origin beside the page: headers, robots.txt.

Headers are kept as text, `status line`, then `name: value`, a line each, names in lower case: any
reader of Parquet has text, a rule can ask `http_headers LIKE '%x-robots-tag:%noai%'`, repeated ones
stay, and a header that becomes a sign of permission tomorrow is there already. Cookies are left
out: they are of the crawler's session and prove nothing. Bounded: a line has at most LINE_BYTES,
all together HEADERS_BYTES; those that bear on permission are the last to go.
"""

from jobs.crawl.addresses import parts_of
from jobs.crawl.headers import header_lines

LINE_BYTES = 1 << 11
HEADERS_BYTES = 1 << 13
ROBOTS_BYTES = 500 << 10
"""What a crawler must read of a robots.txt: RFC 9309, section 2.5."""
PERMISSION = (
    *("x-robots-tag", "tdm-reservation", "tdm-policy", "content-usage", "link", "location"),
    *("content-type", "content-language", "last-modified", "etag", "date", "server"),
)
"""Robots meta as a header; W3C TDM Reservation Protocol; IETF AI preferences; `rel=license`,
canonical; then what tells where and when the copy comes from."""
LEFT_OUT = ("set-cookie", "set-cookie2", "cookie")


def kept_headers(head: bytes) -> str:
    """The lines to keep of a response's status line and headers as stored."""
    status, _, rest = head.partition(b"\n")
    kept = [(name, value) for name, value in header_lines(rest) if name not in LEFT_OUT]
    lines = [status.decode("utf-8", "replace").strip(), *(f"{n}: {value}" for n, value in kept)]
    if len(head) <= LINE_BYTES:
        return "\n".join(lines)
    lines = [_cut(line) for line in lines]
    order = sorted(range(len(kept)), key=lambda n: kept[n][0] not in PERMISSION)
    chosen, left = {0}, HEADERS_BYTES - len(lines[0].encode())
    for number in (n + 1 for n in order):
        size = len(lines[number].encode()) + 1
        if size <= left:
            left -= size
            chosen.add(number)
    return "\n".join(line for number, line in enumerate(lines) if number in chosen)


def is_robots_txt(url: str) -> bool:
    """Whether a site's rules for crawlers are found at this URL (RFC 9309, section 2.3)."""
    if not url.endswith("robots.txt") and "/robots.txt" not in url:
        return False
    parts = parts_of(url)
    return parts is not None and (
        parts.scheme.lower() in ("http", "https") and parts.path == "/robots.txt"
    )


def _cut(line: str) -> str:
    return line.encode("utf-8", "replace")[:LINE_BYTES].decode("utf-8", "ignore")
