"""WARC files written: the records of a crawl, one gzip member each (WARC 1.1, ISO 28500:2017).

In: pages as (URL, HTML) and when they were captured. Out: bytes that follow from these alone:
record ids are made of type and URL, gzip members hold no time.
"""

import base64
import gzip
import hashlib
import uuid
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
"""RFC 4122, appendix C: names that are URLs."""
USER_AGENT = "gristmill"


def warc(filename: str, description: str, date: str, pages: Iterable[tuple[str, str]]) -> bytes:
    """A WARC file: warcinfo, then a response and a request for each page (URL, HTML); `date` is an
    ISO 8601 time in UTC that ends in Z."""
    info = (
        f"software: {USER_AGENT} sample\r\nformat: WARC File Format 1.1\r\n"
        f"description: {description}\r\n"
    ).encode()
    fields = {"WARC-Filename": filename}
    members = [record("warcinfo", filename, date, "application/warc-fields", info, fields)]
    for url, html in pages:
        address = urlsplit(url)
        request = (
            f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"User-Agent: {USER_AGENT}\r\nAccept: text/html\r\n\r\n"
        ).encode()
        body = html.encode()
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        http = "application/http; msgtype="
        fields = {"WARC-Target-URI": url, "WARC-Payload-Digest": sha1(body)}
        members.append(record("response", url, date, http + "response", head + body, fields))
        fields = {"WARC-Target-URI": url, "WARC-Concurrent-To": record_id("response", url)}
        members.append(record("request", url, date, http + "request", request, fields))
    return b"".join(gzip.compress(member, 6, mtime=0) for member in members)


def record(
    kind: str, key: str, date: str, content_type: str, block: bytes, fields: Mapping[str, str]
) -> bytes:
    """One WARC record of type `kind`; its id is made of that and `key`."""
    header = {
        "WARC-Type": kind,
        "WARC-Record-ID": record_id(kind, key),
        "WARC-Date": date,
        **fields,
        "WARC-Block-Digest": sha1(block),
        "Content-Type": content_type,
        "Content-Length": str(len(block)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in header.items())
    return f"WARC/1.1\r\n{lines}\r\n".encode() + block + b"\r\n\r\n"


def record_id(kind: str, key: str) -> str:
    """A record id that follows from the record's type and URL."""
    return f"<urn:uuid:{uuid.uuid5(NAMESPACE, f'{kind} {key}')}>"


def sha1(data: bytes) -> str:
    """A digest as WARC spells it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
