"""Crawl files of every kind, whole and damaged: each record is accounted for, nothing raises, everything ends."""

import bz2
import gzip
import io
import json
import lzma
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fastwarc.stream_io import Lz4Writer
from fastwarc.warc import ArchiveIterator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra import storage
from jobs.crawl import REASONS, Record, kind_of, public_uri, records
from jobs.crawl import compressed as compression
from jobs.crawl.message import dechunk, response
from jobs.crawl.stream import Stream

PAGE = "<html><body><p>Page number {} has a few words of its own.</p></body></html>"
LIMIT = 1 << 20


def warc_record(
    number: int, kind: str = "response", block: bytes | None = None, length: int | None = None
) -> bytes:
    """One WARC record whose block is an HTTP response unless given."""
    if block is None:
        block = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
            + PAGE.format(number).encode()
        )
    fields = [
        f"WARC-Type: {kind}",
        f"WARC-Target-URI: https://example.org/{number}",
        "WARC-Date: 2024-05-01T10:00:00Z",
        "Content-Type: application/http; msgtype=response",
        f"Content-Length: {len(block) if length is None else length}",
    ]
    return "\r\n".join(["WARC/1.0", *fields, "", ""]).encode() + block + b"\r\n\r\n"


def arc_record(number: int, length: int | None = None) -> bytes:
    """One ARC 1.0 record."""
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE.format(number).encode()
    return (
        f"http://example.org/{number} 192.0.2.1 20240501100000 text/html {len(block) if length is None else length}\n".encode()
        + block
        + b"\n"
    )


def lz4(data: bytes) -> bytes:
    """One LZ4 frame."""
    stream = io.BytesIO()
    writer = Lz4Writer(stream)
    writer.write(data)
    writer.close()
    return stream.getvalue()


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "zst": zstandard.compress,
    "lz4": lz4,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def read(folder: Path, data: bytes, name: str = "x.warc") -> list[Record]:
    """The records of a file with this content; they must be numbered without gaps and have known reasons."""
    path = folder / name
    path.write_bytes(data)
    found = list(records(str(path), LIMIT))
    assert [r.index for r in found] == list(range(len(found)))
    assert {r.reason for r in found} <= {None, *REASONS}
    return found


def outcome(found: list[Record]) -> list[str]:
    """For each record the number of its page, or its reason."""
    return [r.reason or r.url.rsplit("/", 1)[-1] for r in found]


def test_plain_and_compressed_warcs_hold_the_same_pages(tmp_path: Path) -> None:
    parts = [warc_record(n) for n in range(5)]
    plain = read(tmp_path, b"".join(parts))
    assert outcome(plain) == ["0", "1", "2", "3", "4"]
    assert plain[3].payload.decode() == PAGE.format(3)
    assert plain[3].offset == sum(map(len, parts[:3]))
    assert (plain[0].mime, plain[0].charset, plain[0].date and plain[0].date.isoformat()) == (
        "text/html",
        "utf-8",
        "2024-05-01T10:00:00+00:00",
    )
    for name, compress in COMPRESSIONS.items():
        members = [compress(part) for part in parts]
        found = read(tmp_path, b"".join(members), f"x.warc.{name}")
        assert [r.payload for r in found] == [r.payload for r in plain], name
        assert found[3].offset == sum(map(len, members[:3])), name


@pytest.mark.parametrize("compression", ["gz", "zst", "lz4"])
def test_a_damaged_member_costs_one_record(tmp_path: Path, compression: str) -> None:
    members = [COMPRESSIONS[compression](warc_record(n)) for n in range(5)]
    for place in range(4, len(members[2]), 7):
        broken = bytearray(members[2])
        broken[place] ^= 0xFF
        found = outcome(read(tmp_path, b"".join([*members[:2], bytes(broken), *members[3:]])))
        assert found[:2] == ["0", "1"] and found[-2:] == ["3", "4"] and len(found) == 5, place


@pytest.mark.parametrize("compression", ["", "gz", "zst", "lz4", "bz2", "xz"])
def test_a_cut_file_yields_every_record_before_the_cut(tmp_path: Path, compression: str) -> None:
    compress = COMPRESSIONS.get(compression, bytes)
    members = [compress(warc_record(n)) for n in range(4)]
    for cut in (1, 5, 12, 40):
        data = b"".join(members)
        found = outcome(read(tmp_path, data[: len(data) - len(members[3]) + cut]))
        assert found == ["0", "1", "2", "damaged"], cut


def test_a_file_that_is_one_gzip_member_yields_what_is_before_the_damage(tmp_path: Path) -> None:
    data = gzip.compress(
        b"".join(
            warc_record(n, block=b"HTTP/1.1 200 OK\r\n\r\n<html>" + bytes(str(n) * 9999, "ascii"))
            for n in range(50)
        )
    )
    found = outcome(read(tmp_path, data[: len(data) // 2]))
    assert found[:10] == [str(n) for n in range(10)] and found[-1] == "damaged"


def test_wrong_lengths_cost_only_their_own_record(tmp_path: Path) -> None:
    good = [warc_record(n) for n in range(4)]
    too_long = warc_record(1, length=500)
    assert outcome(read(tmp_path, good[0] + too_long + good[2] + good[3])) == [
        "0",
        "damaged",
        "2",
        "3",
    ]
    absurd = warc_record(1, length=10**15)
    assert outcome(read(tmp_path, good[0] + absurd + good[2] + good[3])) == [
        "0",
        "damaged",
        "2",
        "3",
    ]
    no_number = good[1].replace(b"Content-Length: ", b"Content-Length: x")
    assert outcome(read(tmp_path, good[0] + no_number + good[2] + good[3])) == [
        "0",
        "damaged",
        "2",
        "3",
    ]
    too_short = warc_record(1, length=90)
    assert outcome(read(tmp_path, good[0] + too_short + good[2] + good[3])) == [
        "0",
        "1",
        "damaged",
        "2",
        "3",
    ]
    assert outcome(read(tmp_path, good[0] + b"some rubbish\r\nin between\r\n" + good[2])) == [
        "0",
        "damaged",
        "2",
    ]


def test_every_kind_of_record_has_a_reason(tmp_path: Path) -> None:
    http = b"HTTP/1.1 %s\r\nContent-Type: %s\r\n\r\nbody"
    data = b"".join(
        [
            warc_record(0, "warcinfo", b"software: x\r\n"),
            warc_record(1, "request", b"GET / HTTP/1.1\r\n\r\n"),
            warc_record(2, "revisit", b"HTTP/1.1 200 OK\r\n\r\n"),
            warc_record(3, block=http % (b"404 Not Found", b"text/html")),
            warc_record(4, block=http % (b"200 OK", b"image/png")),
            warc_record(5, block=http % (b"200 OK", b"text/html") + b"x" * LIMIT),
            warc_record(6, block=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n%PDF-1.4"),
            warc_record(7, block=b"no status line"),
            warc_record(8, "metadata", b"a: b\r\n"),
            warc_record(9, block=b"HTTP/1.1 200 OK\r\n\r\n<!DOCTYPE html><p>x"),
        ]
    )
    assert outcome(read(tmp_path, data)) == [
        *("not_a_response", "not_a_response", "revisit", "http_error", "not_html_or_text"),
        *("too_large", "not_html_or_text", "damaged", "not_a_response", "9"),
    ]


def test_wet_records_are_ready_text(tmp_path: Path) -> None:
    block = "Ein Text über nichts.\n".encode()
    data = warc_record(1, "conversion", block).replace(
        b"application/http; msgtype=response", b"text/plain"
    )
    (record,) = read(tmp_path, data, "x.warc.wet")
    assert (record.text, record.reason, record.mime) == (block.decode(), None, "text/plain")


def test_arc_files_are_read_whole_and_damaged(tmp_path: Path) -> None:
    head = b"filedesc://x.arc 0.0.0.0 20240501100000 text/plain 20\n1 0 Test\nURL IP-addr\n"
    head = head.replace(b" 20\n", b" %d\n" % len(b"1 0 Test\nURL IP-addr\n")) + b"\n"
    parts = [head, *(arc_record(n) for n in range(3))]
    assert outcome(read(tmp_path, b"".join(parts), "x.arc")) == ["not_a_response", "0", "1", "2"]
    members = b"".join(gzip.compress(part) for part in parts)
    assert outcome(read(tmp_path, members, "x.arc.gz")) == ["not_a_response", "0", "1", "2"]
    broken = head + arc_record(0) + arc_record(1, length=-1) + arc_record(2)
    assert outcome(read(tmp_path, broken, "x.arc")) == ["not_a_response", "0", "damaged", "2"]
    assert outcome(read(tmp_path, members[:-9], "x.arc.gz")) == [
        "not_a_response",
        "0",
        "1",
        "damaged",
    ]


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


def test_tables_pages_and_texts_are_read_by_content_then_name(tmp_path: Path) -> None:
    lines = b'{"url": "https://a/1", "text": "one"}\n\n{"url": "https://a/2", "html": "<p>two"}\nnot json\n[1]\n{"url": "u"}\n'
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


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), compression=st.sampled_from(["", "gz", "zst", "lz4"]))
def test_no_damage_raises_hangs_or_hides_the_records_far_from_it(
    tmp_path: Path, data: st.DataObject, compression: str
) -> None:
    parts = [COMPRESSIONS.get(compression, bytes)(warc_record(n)) for n in range(6)]
    middle = bytearray(b"".join(parts[2:4]))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(middle)))
        end = data.draw(st.integers(start, min(start + 40, len(middle))))
        middle[start:end] = data.draw(st.binary(max_size=40))
    found = outcome(read(tmp_path, b"".join(parts[:2]) + bytes(middle) + b"".join(parts[4:])))
    assert found[0] == "0" and found[-1] == "5"


def test_a_window_smaller_than_a_record_still_ends() -> None:
    data = b"".join(
        warc_record(n, block=b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 300_000) for n in range(9)
    )
    stream = Stream(compression.pieces(io.BytesIO(data), ""), False, window_bytes=1 << 16)
    assert stream.fill(len(data)) and stream.read(0, 10) == b""
    assert stream.read(len(data) - 4, len(data)) == b"\r\n\r\n"


def test_credentials_and_queries_never_leave_an_address() -> None:
    assert public_uri("https://user:pass@host/a/b.warc.gz?token=1") == "https://host/a/b.warc.gz"
    assert public_uri("/data/a.warc") == "/data/a.warc"


def test_a_remote_file_is_read_like_a_local_one(s3_root: str) -> None:
    storage.write_bytes(
        f"{s3_root}/web.warc.gz", b"".join(gzip.compress(warc_record(n)) for n in range(3))
    )
    assert outcome(list(records(f"{s3_root}/web.warc.gz"))) == ["0", "1", "2"]
    assert [r.reason for r in records(f"{s3_root}/missing.warc.gz")] == ["unreadable"]


def real_files(shared: Path) -> list[Path]:
    """The archives of archiving projects."""
    return [
        path
        for path in sorted((shared / "data" / "warc-real").rglob("*"))
        if path.is_file() and path.suffix != ".md"
    ]


def header_lines(path: Path) -> int:
    """How many WARC records start in a file, counted without the reader; ARC records by their header lines."""
    data = path.read_bytes()
    if path.suffix == ".lz4":
        return 0
    if data.startswith(b"\x1f\x8b"):
        inner = io.BytesIO()
        with gzip.open(path) as stream:
            try:
                while block := stream.read(1 << 12):
                    inner.write(block)
            except (EOFError, OSError):
                pass
        data = inner.getvalue()
    if b"WARC/1" in data[:10]:
        return len(re.findall(rb"WARC/1\.\d\r*\n(?:WARC-|Content-)", data))
    return len(
        re.findall(rb"(?m)^(?:https?|dns|filedesc):\S* ?\S* [\d.]+ \d{14,18} \S+ \S+\r?$", data)
    )


def test_every_record_of_real_archives_is_accounted_for(shared: Path) -> None:
    files = real_files(shared)
    assert len(files) == 60
    tally: Counter[str | None] = Counter()
    for path in files:
        found = list(records(str(path)))
        assert [r.index for r in found] == list(range(len(found)))
        assert sum(bool(r.kind) for r in found) >= header_lines(path), path.name
        tally.update(r.reason for r in found)
    assert set(tally) <= {None, *REASONS}
    assert tally[None] > 100 and tally["revisit"] > 100


def test_where_fastwarc_reads_a_real_archive_its_pages_are_the_same(shared: Path) -> None:
    compared = 0
    for path in real_files(shared):
        mine = {
            (r.url, r.offset): r.payload
            for r in records(str(path))
            if r.reason is None and r.kind == "response"
        }
        if not mine or path.name.startswith(("example-trunc", "example-bad")):
            continue
        with path.open("rb") as stream:
            try:
                for theirs in ArchiveIterator(stream, auto_decode="all"):
                    key = (theirs.headers.get("WARC-Target-URI", "").strip("<>"), theirs.stream_pos)
                    if key in mine:
                        assert theirs.reader.read() == mine[key], (path.name, key)
                        compared += 1
            except OSError:
                continue
    assert compared > 100


def test_json_lines_of_a_corpus_keep_their_text(tmp_path: Path) -> None:
    text = "a\u2028b \ud83d\ude00"
    (record,) = read(tmp_path, json.dumps({"url": "https://a", "text": text}).encode(), "x.jsonl")
    assert record.text == "a\u2028b \U0001f600"
