"""Crawl files of every kind, local and remote: which kind, and what a row, a text or nothing is."""

import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import storage
from infra.storage import public_uri
from jobs.crawl import Found, records
from jobs.crawl.kinds import kind_of
from tests.jobs.crawl.archive_files import COMPRESSIONS, arc_record, outcome, read, warc_record


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


ARC = b"http://example.org/ %s text/html 120\nHTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (warc_record(1), "page", "warc"),
        (warc_record(1), "page.warc.txt", "warc"),
        (warc_record(1), "page.warc.html", "warc"),
        (b"<p>", "joan.of.arc.html", "html"),
        (b"filedesc://x.arc 0.0.0.0 20240501100000 text/plain 20\n", "x", "arc"),
        (b"filedesc:// and no more", "x", "arc"),
        (ARC % b"192.0.2.1 20240501100000", "x", "arc"),
        (ARC % b"2001:db8::1 20240501100000", "x", "arc"),
        (ARC % b"192.0.2.1 20240501", "x", "text"),
        (ARC % b"there 20240501100000", "x", "text"),
        (b"Reminder: meeting on 20240501 with 12\n", "notes", "text"),
        (b"http: on 192.0.2.1 20240501100000 with 12\n", "notes", "text"),
    ],
)
def test_what_a_file_is(head: bytes, name: str, kind: str) -> None:
    assert kind_of(head, name) == kind


TABLE = io.BytesIO()
pq.write_table(pa.table({"url": ["https://evil.example/"], "text": ["False."]}), TABLE)
DISGUISED = {
    "WARC": warc_record(1),
    "ARC": arc_record(1),
    "ARC with its header": b"filedesc://x 0.0.0.0 20240501100000 text/plain 0\n\n" + arc_record(1),
    "JSONL": b'{"url": "https://evil.example/", "text": "False."}',
    "Parquet": TABLE.getvalue(),
}


@pytest.mark.parametrize("form", DISGUISED)
@pytest.mark.parametrize("name", ["page.html", "page.htm", "notes.txt", "README.md"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_name_that_says_page_or_text_is_believed(
    tmp_path: Path, form: str, name: str, packed: bool
) -> None:
    data = gzip.compress(DISGUISED[form]) if packed else DISGUISED[form]
    (record,) = read(tmp_path, data, name)
    assert record.url in (f"file:///{name}", "")
    assert record.payload in (DISGUISED[form], b"") and record.text is None


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
