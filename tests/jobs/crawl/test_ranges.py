"""Large files in parts: the parts hold what the whole holds, wherever the cuts are."""

import gzip
import io
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra import storage
from jobs.crawl import Found, Origin, Record, records
from jobs.crawl.counted import CountedStream, StoreFailed
from jobs.crawl.parquet import parquet_rows
from jobs.crawl.ranges import Range, ranges
from jobs.page.document import document
from tests.jobs.crawl.archive_files import warc_record

LINE = st.one_of(
    st.sampled_from([b"", b"   ", b"\r", b"no json", b"[1]", b'{"text": 1}', b"\xff\xfe"]),
    st.builds(lambda text: json.dumps({"text": text}).encode(), st.text(max_size=12)),
    st.builds(
        lambda n: json.dumps({"url": f"https://a/{n}", "html": "<p>x"}).encode(), st.integers()
    ),
    st.builds(lambda n: b'{"text": "%s"}' % (b"y" * n), st.integers(300, 900)),
)
FIXTURE = HealthCheck.function_scoped_fixture
LIMIT = 100
"""Bytes of a page: with it a line may have 65,936 bytes."""


def rows(uri: str, parts: Sequence[Range | None]) -> list[dict[str, object]]:
    """The rows of the parts in order."""
    return [
        document(record, Origin("file", "web", bytes(8), part.start if part else None), 1)
        for part in parts
        for record in records(uri, LIMIT, part)
        if record.reason != "empty_file"
    ]


def bytes_read(uri: str, parts: Sequence[Range | None]) -> int:
    """How many bytes of the file the readers of these parts came through."""
    total = 0
    for part in parts:
        found = Found()
        list(records(uri, LIMIT, part, found))
        total += found.bytes_read
    return total


def parts_at(cuts: Sequence[int], end: int) -> list[Range | None]:
    """The parts between these places."""
    return [Range(a, b) for a, b in pairwise(sorted({0, end, *(c for c in cuts if 0 < c < end)}))]


@given(st.lists(LINE, max_size=12), st.booleans(), st.lists(st.integers(1, 4000), max_size=9))
@settings(deadline=None, max_examples=300, suppress_health_check=[FIXTURE])
def test_json_lines_cut_anywhere_give_the_same_rows(
    tmp_path: Path, lines: list[bytes], ended: bool, cuts: list[int]
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n".join(lines) + (b"\n" if ended else b""))
    parts = parts_at(cuts, max(1, path.stat().st_size))
    assert rows(str(path), parts) == rows(str(path), [None])


@pytest.mark.parametrize("cut", [70_000, 131_072, 199_998, 199_999, 200_000, 200_001, 262_144])
def test_a_line_longer_than_a_page_and_a_part_belongs_to_one_part(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.jsonl"
    short = b'{"text": "one"}\n'
    path.write_bytes(short + b"z" * (199_999 - len(short)) + b"\n" + short * 9999)
    parts = parts_at([cut, cut + 50_000], path.stat().st_size)
    assert rows(str(path), parts) == rows(str(path), [None])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.lists(st.integers(1, 8), max_size=3))
@settings(deadline=None, suppress_health_check=[FIXTURE])
def test_parquet_cut_between_row_groups_gives_the_same_rows(
    tmp_path: Path, sizes: list[int], cuts: list[int]
) -> None:
    path = tmp_path / "x.parquet"
    write_groups(path, sizes)
    assert rows(str(path), parts_at(cuts, len(sizes))) == rows(str(path), [None])


def write_groups(path: Path, sizes: Sequence[int]) -> None:
    """A Parquet file with row groups of these sizes; every third row has an URL of its own."""
    schema = pa.schema([("url", pa.string()), ("text", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for group, size in enumerate(sizes):
            urls = [f"https://a/{group}/{n}" if n % 3 else None for n in range(size)]
            texts = [f"Text {n} of group {group}." for n in range(size)]
            writer.write_table(pa.table({"url": urls, "text": texts}, schema))


def test_a_broken_row_group_has_the_same_rows_in_its_part(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_groups(path, [9, 9, 9])
    start = pq.read_metadata(path).row_group(1).column(1).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 20] = bytes(20)
    path.write_bytes(data)
    whole = rows(str(path), [None])
    assert [row["reject_reason"] for row in whole].count("damaged") == 9
    assert rows(str(path), parts_at([1, 2], 3)) == whole


def test_large_files_are_cut_into_parts_of_about_the_size_asked_for(tmp_path: Path) -> None:
    lines, table = tmp_path / "x.jsonl", tmp_path / "x.parquet"
    lines.write_text("".join(json.dumps({"text": f"Line {n}."}) + "\n" for n in range(5000)))
    size = lines.stat().st_size
    parts = ranges(str(lines), size, 20_000)
    assert len(parts) == -(-size // 20_000)
    assert [part for part in parts if part] == parts_at([p.end for p in parts if p], size)
    assert rows(str(lines), parts) == rows(str(lines), [None])
    assert bytes_read(str(lines), parts) == bytes_read(str(lines), [None]) == size
    write_groups(table, [500] * 8)
    size = table.stat().st_size
    parts = ranges(str(table), size, size // 4)
    assert parts == [Range(0, 2), Range(2, 4), Range(4, 6), Range(6, 8)]
    assert ranges(str(table), size, 1) == [Range(n, n + 1) for n in range(8)]
    assert rows(str(table), parts) == rows(str(table), [None])
    assert bytes_read(str(table), parts) == bytes_read(str(table), [None]) == size


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("small.jsonl", b'{"text": "one"}\n'),
        ("x.jsonl.gz", gzip.compress(b'{"text": "one"}\n' * 9, 0) + bytes(30_000)),
        ("x.warc", warc_record(1) * 100),
        ("x.html", b"<html>" + b"<p>one" * 9999),
        ("x.txt", b"one " * 9999),
        ("blank.jsonl", b"\n" * 30_000),
        ("x.parquet", b"PAR1" + bytes(30_000) + b"PAR1"),
    ],
)
def test_other_files_are_one_part(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert ranges(str(path), len(data), 8192) == [None]
    assert ranges(str(tmp_path / "missing.jsonl"), 30_000, 8192) == [None]


def test_a_file_that_has_no_parts_is_not_read_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "x.warc"
    path.write_bytes(warc_record(1))
    with pytest.raises(ValueError, match="has no parts"):
        list(records(str(path), part=Range(0, 9)))


def test_rows_of_a_part_are_numbered_from_zero_and_a_part_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "one"}\n' * 4)
    found = [list(records(str(path), part=Range(*part))) for part in ((0, 1), (1, 16), (16, 64))]
    assert [[record.index for record in part] for part in found] == [[0], [], [0, 1, 2]]


def test_remote_files_are_read_in_parts(s3_root: str, tmp_path: Path) -> None:
    table = tmp_path / "x.parquet"
    write_groups(table, [300, 1, 300])
    lines = b"".join(json.dumps({"text": f"Line {n}."}).encode() + b"\n" for n in range(3000))
    for name, data, least in (("x.jsonl", lines, 8), ("x.parquet", table.read_bytes(), 2)):
        uri = f"{s3_root}/{name}"
        storage.write_bytes(uri, data)
        parts = ranges(uri, len(data), len(data) // 8)
        assert len(parts) >= least
        assert rows(uri, parts) == rows(uri, [None])
    assert [r.reason for r in records(f"{s3_root}/none.jsonl", part=Range(0, 9))] == ["unreadable"]


class Failing(io.BytesIO):
    """A store that fails at the n-th read."""

    left = 0

    def read(self, size: int | None = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise OSError("connection lost")
        return super().read(size)


@pytest.mark.parametrize("reads", [0, 1, 2, 3, 4])
def test_a_failing_store_is_an_error_and_no_damaged_row(tmp_path: Path, reads: int) -> None:
    path = tmp_path / "x.parquet"
    write_groups(path, [9] * 6)
    stream = Failing(path.read_bytes())
    stream.left = reads
    found: list[Record] = []
    with pytest.raises(StoreFailed, match="connection lost"):
        found.extend(parquet_rows(CountedStream(stream), "file:///x", LIMIT))
    assert all(record.reason is None for record in found)
