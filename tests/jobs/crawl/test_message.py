"""HTTP responses of archives: chunks joined, content encodings undone, damage told."""

import gzip
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.crawl.message import MOST_CODINGS, dechunk, response
from tests.jobs.crawl.archive_files import LIMIT, read, warc_record


def test_chunked_bodies_are_joined_and_false_chunking_is_forgiven() -> None:
    assert dechunk(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n") == (b"abcde", "")
    assert dechunk(b"<html>never chunked") == (b"<html>never chunked", "")
    assert dechunk(b"3\r\nabc\r\nnonsense") == (b"abc", "a chunk without a size line")
    assert dechunk(b"9\r\nabc") == (b"abc", "the body ends within a chunk")


def test_content_encodings_are_undone_and_their_damage_is_told() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n\r\n"
    packed = gzip.compress(b"<p>hello")
    assert response(head % b"gzip" + packed, LIMIT).body == b"<p>hello"
    assert response(head % b"gzip" + b"<p>already undone", LIMIT).body == b"<p>already undone"
    assert response(head % b"zstd" + zstandard.compress(b"<p>hello"), LIMIT).body == b"<p>hello"
    assert response(head % b"gzip" + packed[:-9], LIMIT).damage
    assert response(head % b"gzip" + gzip.compress(bytes(LIMIT + 1)), LIMIT).too_large


CODED = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n\r\n"
PAGES = [
    b"\xef\xbb\xbf<!doctype html><p>A page.",
    b"Some plain text that the writer has decoded.",
    b"SHORT",
    "Größe ".encode() * 900,
    "<p>Größe".encode("cp1252"),
    b"2024 was a year",
    b"",
]


@pytest.mark.parametrize("coding", [b"br", b"deflate", b"zstd", b"gzip", b"br, gzip"])
@pytest.mark.parametrize("page", PAGES)
def test_a_text_whose_encoding_was_undone_is_taken_as_it_is(page: bytes, coding: bytes) -> None:
    got = response(CODED % coding + page, LIMIT)
    assert (got.body, got.damage) == (page, "")


@given(st.binary(min_size=200, max_size=5000), st.integers(1, 9), st.sampled_from([15, -15]))
@settings(deadline=None)
def test_what_is_encoded_is_never_taken_for_text(data: bytes, level: int, window: int) -> None:
    packed = zlib.compress(data, level, window)
    assert response(CODED % b"deflate" + packed, LIMIT).body == data
    assert response(CODED % b"zstd" + zstandard.compress(data, level), LIMIT).body == data


def test_a_brotli_stream_that_begins_with_the_sign_of_a_list_is_decoded() -> None:
    brotli = pytest.importorskip("brotli")
    page = b"<p>" + "".join(f"{n} words. " for n in range(9000)).encode()
    packed = brotli.compress(page)
    assert packed.startswith(b"[")
    assert response(CODED % b"br" + packed, LIMIT).body == page


def test_more_encodings_than_any_page_has_are_damage_and_not_undone() -> None:
    body = b"<p>hello"
    for count in range(1, 8):
        body = gzip.compress(body)
        got = response(CODED % b",".join([b"gzip"] * count) + body, LIMIT)
        if count <= MOST_CODINGS:
            assert (got.body, got.damage) == (b"<p>hello", "")
        else:
            assert got.body == body and got.damage.startswith(f"{count} content encodings")


@pytest.mark.parametrize(
    "text",
    [
        b"2024\nSome text whose first line is a year.",
        b"10\r\nThe first line of this text is a number, and so is its length.",
        b"0\nNothing, says this text.",
        b"cafe\nA word of hexadecimal digits.",
    ],
)
def test_a_text_that_begins_with_a_number_was_never_chunked(text: bytes) -> None:
    assert dechunk(text) == (text, "")


@pytest.mark.parametrize(
    ("status", "said", "is_part"),
    [
        (206, b"bytes 0-60/900", True),
        (206, b"bytes 10-99/100", True),
        (206, b"bytes 0-99/*", True),
        (206, b"", True),
        (206, b"bytes 0-99/100", False),
        (200, b"bytes 0-60/900", False),
    ],
)
def test_a_part_of_a_page_is_marked(
    status: int, said: bytes, is_part: bool, tmp_path: Path
) -> None:
    head = b"HTTP/1.1 %d X\r\nContent-Type: text/html\r\nContent-Range: %s\r\n\r\n" % (status, said)
    (record,) = read(tmp_path, warc_record(1, block=head + b"<p>A page, or a part of it."))
    assert (record.reason, record.truncated) == (None, "http_part" if is_part else "")
