"""Crawl files of every kind, local and remote: which kind, and what a row, a text or nothing is."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import storage
from infra.storage import public_uri
from jobs.crawl import Found, records
from jobs.crawl.kinds import kind_of
from tests.jobs.crawl.archive_files import COMPRESSIONS, outcome, read, warc_record


def test_tables_pages_and_texts_are_read_by_content_then_name(tmp_path: Path) -> None:
    lines = (
        b'{"url": "https://a/1", "text": "one"}\n\n{"url": "https://a/2", "html": "<p>two"}\n'
        b'not json\n[1]\n{"url": "u"}\n'
    )
    for name, compress in {"": bytes, **COMPRESSIONS}.items():
        found = read(tmp_path, compress(lines), f"x.jsonl.{name}".rstrip("."))
        assert [(r.reason, r.text, r.payload) for r in found[:2]] == [
            (None, "one", b""),
            (None, None, b"<p>two"),
        ]
        assert [r.reason for r in found[2:]] == ["damaged"] * 3
    pq.write_table(
        pa.table({"url": ["a", "b"], "text": ["one", None], "html": [None, "<p>2"]}),
        tmp_path / "x.parquet",
    )
    assert [(r.url, r.text, r.mime) for r in records(str(tmp_path / "x.parquet"))] == [
        ("a", "one", "text/plain"),
        ("b", None, "text/html"),
    ]
    (text,) = read(tmp_path, b"<b>kept as it is</b>\n\n two \n", "note.txt")
    assert (text.payload, text.mime, text.url) == (
        b"<b>kept as it is</b>\n\n two \n",
        "text/plain",
        "file:///note.txt",
    )
    (page,) = read(tmp_path, gzip.compress(b"<p>x"), "page.html.gz")
    assert (page.payload, page.mime) == (b"<p>x", "text/html")
    assert kind_of(b"WARC/1.0\r\n", "misnamed.txt") == "warc"


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.warc.gz", b"", "empty_file"),
        ("blank.warc", b"\r\n\r\n", "empty_file"),
        ("noise.warc.gz", b"\x1f\x8bnonsense" * 99, "damaged"),
        ("noise.bin", bytes(range(256)) * 9, "unreadable"),
        ("noise.parquet", b"PAR1 nonsense", "unreadable"),
        ("noise.warc", b"nonsense\n" * 999, "damaged"),
    ],
)
def test_a_file_without_a_record_yields_one_that_says_why(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    assert [r.reason for r in read(tmp_path, data, name)] == [reason]


def test_a_missing_file_yields_one_record_that_says_so(tmp_path: Path) -> None:
    assert [(r.reason, r.detail) for r in records(str(tmp_path / "none"))] == [
        ("unreadable", "FileNotFoundError")
    ]
    assert [(r.reason, r.detail) for r in records(str(tmp_path))] == [
        ("unreadable", "IsADirectoryError")
    ]


def test_credentials_and_queries_never_leave_an_address() -> None:
    assert public_uri("https://user:pass@host/a/b.warc.gz?token=1") == "https://host/a/b.warc.gz"
    assert public_uri("/data/a.warc") == "/data/a.warc"


def test_a_remote_file_is_read_like_a_local_one(s3_root: str) -> None:
    storage.write_bytes(
        f"{s3_root}/web.warc.gz", b"".join(gzip.compress(warc_record(n)) for n in range(3))
    )
    assert outcome(list(records(f"{s3_root}/web.warc.gz"))) == ["0", "1", "2"]
    assert [r.reason for r in records(f"{s3_root}/missing.warc.gz")] == ["unreadable"]


@pytest.mark.parametrize("form", ["plain", *COMPRESSIONS])
def test_a_reader_says_how_many_bytes_of_the_file_it_came_through(
    tmp_path: Path, form: str
) -> None:
    pack = COMPRESSIONS.get(form, bytes)
    path = tmp_path / "x.warc"
    path.write_bytes(b"".join(pack(warc_record(n)) for n in range(3)) + b"\r\n" * (form == "plain"))
    found = Found()
    assert len(list(records(str(path), found=found))) == found.records == 3
    assert found.bytes_read == path.stat().st_size


def test_the_end_of_a_text_larger_than_a_page_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"word " * (1 << 20))
    found = Found()
    (record,) = records(str(tmp_path / "x.txt"), 1 << 16, found=found)
    assert record.reason == "too_large" and found.records == 1
    assert 1 << 16 < found.bytes_read < 1 << 20
