"""HTTP responses of archives: chunks joined, content encodings undone, damage told."""

import gzip

import zstandard

from jobs.crawl.message import dechunk, response
from tests.jobs.crawl.archive_files import LIMIT


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
