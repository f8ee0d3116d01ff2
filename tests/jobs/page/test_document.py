"""Rows of documents: what a record becomes, and what its row's name and columns follow from."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.crawl import Origin, Record
from jobs.crawl.evidence import is_robots_txt
from jobs.page.document import SCHEMA, doc_id, document, domain_of

ARTICLE = (
    "<html><head><title>A title</title></head><body><p>"
    + "The page says that it has some words. " * 10
    + "</p></body></html>"
).encode()


def origin(name: str, key: bytes = bytes(8), start: int | None = None) -> Origin:
    """A crawl file of the source `web`."""
    return Origin(name, "web", key, start)


def test_a_page_becomes_a_document() -> None:
    when = datetime(2024, 5, 1, tzinfo=UTC)
    page = Record(
        3, 99, "response", "https://www.example.org/1", when, "text/html", payload=ARTICLE
    )
    row = document(page, origin("web-00000.warc.gz"), 1)
    assert list(row) == SCHEMA.names
    assert row["text"] == ("The page says that it has some words. " * 10).strip()
    expected = {
        "title": "A title",
        "domain": "example.org",
        "source": "web",
        "warc_file": "web-00000.warc.gz",
        "warc_offset": 99,
        "fetched_at": when,
        "lang": "en",
        "extractor": "resiliparse",
        "charset": "utf-8",
        "n_chars": len(row["text"]),
        "n_words": 80,
        "reject_reason": None,
        "detail": None,
    }
    assert {name: row[name] for name in expected} == expected


def test_ready_text_stays_as_it_is() -> None:
    row = document(
        Record(0, 0, "row", "https://a/", text="Ein Text,\n der bleibt. "), origin("x.jsonl"), 1
    )
    assert (row["text"], row["extractor"]) == ("Ein Text,\n der bleibt. ", "verbatim")
    row = document(
        Record(0, 0, "text", mime="text/plain", payload=b"<b>kept</b>"), origin("x.txt"), 1
    )
    assert (row["text"], row["extractor"]) == ("<b>kept</b>", "verbatim")


def test_a_rejected_row_says_why_and_has_no_text() -> None:
    short = Record(0, 0, "html", payload=b"<p>short", mime="text/html")
    row = document(short, origin("x.html"), 9)
    assert (row["reject_reason"], row["detail"]) == ("empty", "5 characters of main text")
    assert (row["text"], row["lang"], row["n_chars"], row["n_words"]) == (None, None, 0, 0)
    assert document(short, origin("x.html"), 5)["reject_reason"] is None
    row = document(Record(0, 0, "", reason="http_error", detail="status 404"), origin("x.warc"), 1)
    assert (row["reject_reason"], row["detail"]) == ("http_error", "status 404")
    assert document(Record(0, 0, "", reason="revisit"), origin("x.warc"), 1)["detail"] is None


def test_a_document_is_named_by_address_and_content_alone() -> None:
    assert len(doc_id("https://a", b"x")) == 16
    names = {doc_id("https://a", b"x"), doc_id("https://a", b"y"), doc_id("https://b", b"x")}
    assert len(names) == 3
    here = document(Record(0, 0, "row", "https://a", text="x"), origin("one.jsonl"), 1)
    there = document(Record(7, 70, "row", "https://a", text="x"), origin("two.jsonl"), 1)
    assert here["doc_id"] == there["doc_id"]


def test_records_without_an_address_are_named_by_their_place() -> None:
    places = [(0, 0), (1, 0), (0, 7)]
    rows = [document(Record(i, at, "", reason="damaged"), origin("x.warc"), 1) for i, at in places]
    assert len({row["doc_id"] for row in rows}) == 3


@given(st.binary(max_size=200), st.sampled_from(["text/html", "text/plain"]), st.text(max_size=9))
@settings(deadline=None)
def test_any_payload_becomes_a_row_of_the_schema(payload: bytes, mime: str, charset: str) -> None:
    row = document(
        Record(0, 0, "response", "https://a", None, mime, charset, payload), origin("x"), 1
    )
    assert pa.Table.from_pylist([row], SCHEMA).to_pylist()[0]["doc_id"] == row["doc_id"]


def test_the_domain_is_the_host_without_www() -> None:
    urls = ("https://www.Example.org:8080/a", "file:///x", "http://[bad", "")
    assert [domain_of(url) for url in urls] == ["example.org", "", "", ""]


@pytest.mark.parametrize("start", ["http://", "//", "http:/\n/", " x://user:"])
@pytest.mark.parametrize("end", ["", "/", "?x", "@example.org/robots.txt"])
def test_what_is_longer_than_any_host_is_none(start: str, end: str) -> None:
    marks = "a" + "\u0300\u0316" * 60_000
    assert domain_of(start + marks + end) == ""
    assert not is_robots_txt(start + marks + end)
    assert domain_of(f"http://example.org/{marks}") == "example.org"
    host = ".".join(["a" * 62] * 4)
    assert domain_of(f"http://user:password@{host}:8080/") == host
