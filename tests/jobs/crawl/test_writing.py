"""WARC files written: valid, one gzip member a record, the same bytes for the same pages."""

import base64
import gzip
import hashlib
import io
from itertools import pairwise
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType

from jobs.crawl import records
from jobs.crawl.writing import warc

PAGES = [(f"https://example.org/{n}.html", f"<p>Page {n}: größer") for n in range(3)]
FILE = warc("x.warc.gz", "test pages", "2026-01-01T00:00:00Z", PAGES)


def test_the_archive_is_valid_with_right_digests() -> None:
    kinds = []
    for record in ArchiveIterator(io.BytesIO(FILE), parse_http=False):
        kinds.append(record.record_type)
        record.freeze()
        assert record.verify_block_digest()
        if record.record_type == WarcRecordType.response:
            record.parse_http()
            body = record.reader.read()
            assert int(record.http_headers["Content-Length"]) == len(body)
            digest = hashlib.sha1(body, usedforsecurity=False).digest()
            wanted = f"sha1:{base64.b32encode(digest).decode()}"
            assert record.headers["WARC-Payload-Digest"] == wanted
    pair = [WarcRecordType.response, WarcRecordType.request]
    assert kinds == [WarcRecordType.warcinfo, *pair * 3]


def test_what_was_written_is_read_and_each_record_is_a_gzip_member(tmp_path: Path) -> None:
    path = tmp_path / "x.warc.gz"
    path.write_bytes(FILE)
    found = list(records(str(path)))
    pages = [(r.url, r.payload.decode(r.charset)) for r in found if r.reason is None]
    assert pages == PAGES
    assert found[1].date is not None and found[1].date.isoformat() == "2026-01-01T00:00:00+00:00"
    ends = [*(record.offset for record in found), len(FILE)]
    assert len(set(ends)) == len(found) + 1
    assert all(gzip.decompress(FILE[a:b]).startswith(b"WARC/1.1") for a, b in pairwise(ends))


def test_the_same_pages_give_the_same_bytes() -> None:
    assert warc("x.warc.gz", "test pages", "2026-01-01T00:00:00Z", iter(PAGES)) == FILE
    assert hashlib.sha256(gzip.decompress(FILE)).hexdigest()[:16] == "6504d0d1d34c919e"
