"""What a capture says beside its page: what is missing of it, its headers, the site's rules."""

from pathlib import Path

import pytest

from jobs.crawl import Record
from jobs.crawl.evidence import HEADERS_BYTES, ROBOTS_BYTES, is_robots_txt, kept_headers
from jobs.crawl.record import TRUNCATED
from tests.jobs.crawl.archive_files import COMPRESSIONS, arc_record, read, warc_record

BODY = b"<html><p>Some words of a page that was sent.</html>"
ROBOTS = b"User-agent: GPTBot\nDisallow: /\n"


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A stored response."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/html", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def at(url: str, block: bytes, kind: str = "response", field: str = "") -> bytes:
    """A WARC record of a URL, with one more field."""
    made = warc_record(1, kind, block).replace(b"https://example.org/1", url.encode())
    return made.replace(b"WARC-Date", f"{field}\r\nWARC-Date".encode()) if field else made


def only(folder: Path, data: bytes) -> Record:
    """The one record of a file."""
    (record,) = read(folder, data)
    return record


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("length", "length"),
        ("Time", "time"),
        ("disconnect", "disconnect"),
        ("unspecified", "unspecified"),
        ("none of the standard's", "unspecified"),
    ],
)
def test_what_the_archive_says_is_missing_is_kept(tmp_path: Path, said: str, expected: str) -> None:
    record = only(tmp_path, at("http://a/", http(BODY), field=f"WARC-Truncated: {said}"))
    assert (record.reason, record.truncated) == (None, expected)
    assert expected in TRUNCATED


@pytest.mark.parametrize(
    ("headers", "marked"),
    [
        ([f"Content-Length: {len(BODY)}"], False),
        ([f"Content-Length: {len(BODY) + 1}"], True),
        ([f"Content-Length: {len(BODY) - 1}"], False),
        ([f"Content-Length: {len(BODY) + 9}", "Content-Encoding: gzip"], False),
        ([f"Content-Length: {len(BODY) + 9}", "Transfer-Encoding: chunked"], False),
        (["Content-Length: many"], False),
        ([], False),
    ],
)
def test_a_body_shorter_than_its_content_length_is_marked_unless_an_encoding_was_undone(
    tmp_path: Path, headers: list[str], marked: bool
) -> None:
    record = only(tmp_path, at("http://a/", http(BODY, *headers)))
    assert (record.reason, record.truncated) == (None, "http_length" if marked else "")


def test_a_record_longer_than_its_own_length_is_marked(tmp_path: Path) -> None:
    block = http(BODY)
    cut = warc_record(1, block=block, length=len(block) - 8)
    found = read(tmp_path, COMPRESSIONS["gz"](cut) + COMPRESSIONS["gz"](warc_record(2)))
    assert [(r.reason, r.truncated) for r in found] == [
        (None, "record_length"),
        ("damaged", ""),
        (None, ""),
    ]


def test_headers_are_kept_as_text_without_cookies(tmp_path: Path) -> None:
    block = http(BODY, "X-Robots-Tag: noai", "Set-Cookie: id=secret", "X-ROBOTS-TAG: noindex")
    record = only(tmp_path, at("http://a/", block))
    assert record.http_headers.splitlines() == [
        "HTTP/1.1 200 OK",
        "content-type: text/html",
        "x-robots-tag: noai",
        "x-robots-tag: noindex",
    ]
    found = only(tmp_path, at("http://a/", http(b"", "Server: x", status="404 Not Found")))
    assert (found.reason, found.http_headers.splitlines()[0]) == (
        "http_error",
        "HTTP/1.1 404 Not Found",
    )


def test_headers_are_bounded_and_those_of_permission_stay() -> None:
    many = "".join(f"X-Filler-{n}: {'y' * 90}\r\n" for n in range(9999))
    long = f"Link: <{'z' * 10_000}>; rel=license\r\n"
    head = f"HTTP/1.1 200 OK\r\n{many}{long}TDM-Reservation: 1\r\nX-Robots-Tag: noai".encode()
    kept = kept_headers(head)
    assert len(kept.encode()) <= HEADERS_BYTES
    names = [line.partition(":")[0] for line in kept.splitlines()]
    assert names[:2] == ["HTTP/1.1 200 OK", "x-filler-0"]
    assert names[-3:] == ["link", "tdm-reservation", "x-robots-tag"]


def test_rules_for_crawlers_are_evidence_and_no_page(tmp_path: Path) -> None:
    url = "https://a.example/robots.txt"
    record = only(tmp_path, at(url, http(ROBOTS)))
    assert (record.reason, record.evidence, record.payload) == ("robots_txt", ROBOTS, b"")
    gone = only(tmp_path, at(url, http(b"<p>nothing here", status="404 Not Found")))
    assert (gone.reason, gone.detail, gone.evidence) == ("robots_txt", "status 404", b"")
    packed = http(COMPRESSIONS["gz"](ROBOTS), "Content-Encoding: gzip")
    assert only(tmp_path, at(url, packed)).evidence == ROBOTS
    stored = at(url, ROBOTS, "resource").replace(b"application/http; msgtype=response", b"text/x")
    assert only(tmp_path, stored).evidence == ROBOTS
    long = only(tmp_path, at(url, http(b"#" * (ROBOTS_BYTES + 1))))
    assert (long.reason, len(long.evidence)) == ("robots_txt", ROBOTS_BYTES)
    arc = arc_record(1).replace(b"http://example.org/1", url.encode())
    (record,) = read(tmp_path, arc, "x.arc")
    assert record.reason == "robots_txt"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/robots.txt", True),
        ("HTTP://a.example:8080/robots.txt?x=1", True),
        ("https://a.example/docs/robots.txt", False),
        ("https://a.example/?u=/robots.txt", False),
        ("ftp://a.example/robots.txt", False),
        ("https://[a/robots.txt", False),
    ],
)
def test_rules_for_crawlers_lie_at_one_place_of_a_site(url: str, expected: bool) -> None:
    assert is_robots_txt(url) == expected
