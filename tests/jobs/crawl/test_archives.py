"""WARC and ARC files, whole and damaged: each record is accounted for, nothing raises, all ends."""

import functools
import gzip
import io
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.crawl import compressed
from jobs.crawl.stream import Stream
from tests.jobs.crawl.archive_files import (
    COMPRESSIONS,
    LIMIT,
    PAGE,
    WRITER,
    arc_record,
    outcome,
    read,
    warc_record,
)


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
        assert found[:2] == ["0", "1"] and found[-2:] == ["3", "4"], place
        # Without a checksum only the line ends behind a whole record may be other bytes.
        assert len(found) == 5 or found[2:4] == ["2", "damaged"], place


def test_a_damaged_member_costs_one_record_of_a_file_with_a_dictionary(tmp_path: Path) -> None:
    parts = [warc_record(n) for n in range(6)]
    common = zstandard.ZstdCompressionDict(PAGE.encode() * 9 + parts[0])
    pack = zstandard.ZstdCompressor(dict_data=common).compress
    stored = common.as_bytes()
    head = b"\x5d\x2a\x4d\x18" + len(stored).to_bytes(4, "little") + stored
    members = [pack(part) for part in parts]
    assert outcome(read(tmp_path, head + b"".join(members))) == list("012345")
    broken = members[2][:4] + b"\xff" * (len(members[2]) - 4)
    found = read(tmp_path, head + b"".join([*members[:2], broken, *members[3:]]))
    assert outcome(found) == ["0", "1", "damaged", "3", "4", "5"]


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


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_decompresses_without_end_is_cut_off_behind_what_was_read(
    tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "FREE_BYTES", LIMIT)
    sparse = warc_record(2, block=b"HTTP/1.1 200 OK\r\n\r\n" + b"<p>" + bytes(LIMIT // 2))
    parts = [*map(warc_record, range(2)), sparse, warc_record(3)]
    members = b"".join(map(COMPRESSIONS[compression], parts))
    assert outcome(read(tmp_path, members)) == ["0", "1", "not_html_or_text", "3"]
    endless = warc_record(4, block=bytes(1 << 26))
    found = read(tmp_path, members + COMPRESSIONS[compression](endless))
    assert outcome(found[:4]) == ["0", "1", "not_html_or_text", "3"]
    assert {r.reason for r in found[4:]} == {"damaged"} and "stand for" in found[-1].detail


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 500},
        {"length": 10**15},
        {"length": 10**15, "block": b""},
    ],
)
def test_a_length_that_is_too_long_costs_its_own_record(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    good = [warc_record(n, writer=WRITER) for n in range(4)]
    data = good[0] + warc_record(1, writer=WRITER, **wrong) + good[2] + good[3]
    assert outcome(read(tmp_path, data)) == ["0", "damaged", "2", "3"]


def test_other_damage_of_a_header_costs_its_own_record(tmp_path: Path) -> None:
    good = [warc_record(n) for n in range(4)]
    no_number = good[1].replace(b"Content-Length: ", b"Content-Length: x")
    assert outcome(read(tmp_path, good[0] + no_number + good[2] + good[3])) == [
        "0",
        "damaged",
        "2",
        "3",
    ]
    too_short = warc_record(1, length=90)
    found = read(tmp_path, good[0] + too_short + good[2] + good[3])
    assert outcome(found) == ["0", "1", "damaged", "2", "3"]
    assert [r.truncated for r in found] == ["", "record_length", "", "recovered", ""]
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


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), compression=st.sampled_from(["", "gz", "zst", "lz4"]))
def test_no_damage_raises_hangs_or_hides_the_records_far_from_it(
    tmp_path: Path, data: st.DataObject, compression: str
) -> None:
    compress = COMPRESSIONS.get(compression, bytes)
    parts = [compress(warc_record(n, writer=WRITER)) for n in range(6)]
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
    reopen = functools.partial(compressed.pieces, io.BytesIO(data), "")
    stream = Stream(reopen, len(data), window_bytes=1 << 16)
    assert stream.fill(len(data)) and stream.read(0, 10) == b""
    assert stream.read(len(data) - 4, len(data)) == b"\r\n\r\n"
