"""URLs as strangers wrote them, and that of a crawl file which has none of its own."""

import re
from urllib.parse import SplitResult, urlsplit

from infra import storage

AUTHORITY_CHARS = 300
"""A host has at most 255 (RFC 1035, 2.3.4), a login and a port a few more."""
LONG_AUTHORITY = re.compile(rf"[^/?#]*/[\t\r\n]*/[^/?#]{{{AUTHORITY_CHARS}}}")
"""Line ends and tabs are nothing to `urlsplit`."""


def parts_of(url: str) -> SplitResult | None:
    """The parts of a URL; None for what is none. `urlsplit` brings a host to NFKC, which takes time
    with the square of its marks: one longer than any host is not given to it."""
    if LONG_AUTHORITY.match(url):
        return None
    try:
        return urlsplit(url)
    except ValueError:
        return None


def own_url(uri: str) -> str:
    """The URL of a file that is a document, or whose rows have no URL: where it was got from the
    web, else `file:///<base name>`, which does not say where it lies."""
    if uri.startswith(("http://", "https://")):
        return storage.public_uri(uri)
    return f"file:///{storage.base_name(uri)}"
