"""Rows of JSONL and Parquet files: what a row becomes, and that a broken one costs itself alone."""

import gzip
import hashlib
import io
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.crawl import Found, Origin, jsonl, parquet, records
from jobs.crawl.bundles import SPLIT_BYTES
from jobs.crawl.parquet import ROWS_BELIEVED
from jobs.crawl.ranges import ranges
from jobs.page.document import SCHEMA, document
from tests.jobs.crawl.archive_files import LIMIT, read

ANY_STRING = st.text(st.characters(exclude_categories=()), max_size=8)
ANY_VALUE = st.one_of(
    st.none(),
    ANY_STRING,
    st.integers(),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2024-05-01"]),
)


def test_json_lines_of_a_corpus_keep_their_text(tmp_path: Path) -> None:
    text = "a\u2028b \ud83d\ude00"
    (record,) = read(tmp_path, json.dumps({"url": "https://a", "text": text}).encode(), "x.jsonl")
    assert record.text == "a\u2028b \U0001f600"


def test_a_row_without_an_address_is_named_by_its_place(tmp_path: Path) -> None:
    lines = [b'{"text": "one"}', b"", b"no json", b'{"text": "two"}']
    found = read(tmp_path, b"\n".join(lines), "x.jsonl")
    assert [(r.url, r.offset) for r in found] == [
        (f"file:///x.jsonl#{place}", place) for place in (0, 17, 25)
    ]
    table = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["a", None, "b"]}), table)
    assert [r.url for r in records(str(table))] == [f"file:///x.parquet#{n}" for n in range(3)]


def test_text_is_taken_as_it_is_and_wins_over_html(tmp_path: Path) -> None:
    row = {"text": "<p>kept", "html": "<p>kept"}
    (record,) = read(tmp_path, json.dumps(row).encode(), "x.jsonl")
    assert (record.text, record.mime) == ("<p>kept", "text/plain")


def test_a_line_too_long_for_any_page_is_one_record(tmp_path: Path) -> None:
    longest = 4 * LIMIT + 65536
    fits = b'{"text": "%s"}\n' % (b"x" * (longest - 13))
    assert len(fits) == longest
    too_long = fits.replace(b"x", b"xx", 1)
    short = b'{"text": "one"}\n'
    found = read(tmp_path, fits + short + too_long + short, "x.jsonl")
    assert [r.reason for r in found] == ["too_large", None, "too_large", None]
    assert found[2].detail == f"a line of {len(too_long)} bytes"


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_a_line_of_150_megabytes_is_one_record_in_bounded_memory(tmp_path: Path, name: str) -> None:
    path, short = tmp_path / name, b'{"text": "one"}\n'
    with gzip.open(path, "wb", 1) if name.endswith("gz") else path.open("wb") as stream:
        stream.write(short + b'{"text": "')
        for _ in range(150):
            stream.write(b"z" * (1 << 20))
        stream.write(b'"}\n' + short)
    size = path.stat().st_size
    parts = ranges(str(path), size, SPLIT_BYTES)
    assert len(parts) == (1 if name.endswith("gz") else 3)
    tracemalloc.start()
    found = [r.reason for part in parts for r in records(str(path), LIMIT, part)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [None, "too_large", None]
    assert peak < 6 * (4 * LIMIT + 65536)


def test_a_line_nested_deeper_than_the_parser_goes_is_damaged(tmp_path: Path) -> None:
    found = read(tmp_path, b"[" * 200_000 + b'\n{"text": "one"}\n', "x.jsonl")
    assert [r.reason for r in found] == ["damaged", None]


@pytest.mark.parametrize("value", [b"[]", b"{}", b"1", b'""', b'"a"', b'{"a":1}'])
def test_a_line_of_more_values_than_memory_holds_is_not_parsed(
    tmp_path: Path, value: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "MOST_VALUES", 1 << 17)
    line = b'{"text":"x","z":[' + b",".join([value] * jsonl.MOST_VALUES) + b"]}"
    path = tmp_path / "x.jsonl"
    path.write_bytes(line + b'\n{"text": "one"}\n')
    tracemalloc.start()
    found = [record.reason for record in records(str(path))]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == ["too_much_memory", None]
    assert peak < 4 * len(line)


@pytest.mark.parametrize("text", ["a, b, [c] {d} ", '\\ "a", ', '{"a": [1, 2]},'])
def test_signs_of_structure_in_a_text_are_text(tmp_path: Path, text: str) -> None:
    text *= jsonl.MOST_VALUES // 2
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"url": "https://a", "text": text}))
    (record,) = records(str(path), len(text))
    assert record.text == text


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["url", "text", "html", "date"]), ANY_VALUE), max_size=4
    )
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_object_becomes_a_row_that_can_be_stored(
    tmp_path: Path, rows: list[dict[str, object]]
) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    found = read(tmp_path, lines.encode(), "x.jsonl")
    assert len(found) == max(1, len(rows))
    table = pa.Table.from_pylist(
        [document(r, Origin("x.jsonl", "web", bytes(8)), 1) for r in found], SCHEMA
    )
    assert table.num_rows == len(found)


def test_each_row_of_a_broken_row_group_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table({"text": [f"text number {n} " * 9 for n in range(40)]})
    pq.write_table(table, path, row_group_size=10, compression="zstd")
    metadata = pq.read_metadata(path)
    data = bytearray(path.read_bytes())
    start = metadata.row_group(1).column(0).data_page_offset
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    found = list(records(str(path)))
    assert [r.reason for r in found] == [None] * 10 + ["damaged"] * 10 + [None] * 20
    assert [r.offset for r in found] == list(range(40))
    assert "row group 1, 10 of 10 rows" in found[10].detail


@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_table_has_as_many_records_as_its_footer_says(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "x.parquet"
    texts = [f"text number {n} " * (n % 7) for n in range(900)]
    pq.write_table(pa.table({"url": texts[::-1], "text": texts}), path, row_group_size=300)
    stored = bytearray(path.read_bytes())
    footer = len(stored) - 8 - int.from_bytes(stored[-8:-4], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        stored[data.draw(st.integers(4, footer - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(stored)
    found = Found()
    offsets = [record.offset for record in records(str(path), LIMIT, found=found)]
    assert offsets == list(range(900))
    assert (found.records, found.bytes_read) == (900, len(stored))


def test_rows_before_a_break_stay_and_those_behind_it_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    texts = [f"{n} {hashlib.sha256(b'%d' % n).hexdigest() * 9}" for n in range(10_000)]
    options = {"use_dictionary": False, "compression": "none", "data_page_size": 4096}
    pq.write_table(pa.table({"text": texts}), path, row_group_size=10_000, **options)
    stored = bytearray(path.read_bytes())
    middle = len(stored) // 2
    stored[middle : middle + 100_000] = b"\xff" * 100_000
    path.write_bytes(stored)
    found = list(records(str(path), LIMIT))
    kept = [record.reason for record in found].index("damaged")
    assert len(found) == 10_000 and 1000 < kept < 6000
    assert [record.text for record in found[:kept]] == texts[:kept]
    assert {record.reason for record in found[kept:]} == {"damaged"}
    assert f"row group 0, {10_000 - kept} of 10000 rows" in found[-1].detail


def test_a_footer_that_says_more_rows_than_there_can_be_is_not_believed(tmp_path: Path) -> None:
    path, rows = tmp_path / "x.parquet", ROWS_BELIEVED + 1
    table = pa.table({"text": pa.array(["x"] * rows).dictionary_encode()})
    pq.write_table(table, path, row_group_size=rows)
    start = pq.read_metadata(path).row_group(0).column(0).dictionary_page_offset
    stored = bytearray(path.read_bytes())
    stored[start : start + 20] = bytes(20)
    path.write_bytes(stored)
    (record,) = records(str(path), LIMIT)
    assert record.reason == "damaged" and f"{rows} of {rows} rows" in record.detail


def test_a_value_that_is_none_is_missing_in_its_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    text = pa.array([b"one", b"\xff\xfe", b"three"]).view(pa.string())
    date = pa.array([0, 0, 2**60], pa.timestamp("us"))
    pq.write_table(pa.table({"text": text, "date": date}), path)
    found = list(records(str(path)))
    assert [(r.reason, r.text) for r in found] == [
        (None, "one"),
        ("damaged", None),
        (None, "three"),
    ]
    assert found[0].date is not None and found[2].date is None


@pytest.mark.parametrize("table", [pa.table({"url": ["a"]}), pa.table({"x": [1]})])
def test_a_table_without_texts_is_unreadable(tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table, tmp_path / "x.parquet")
    assert [r.reason for r in records(str(tmp_path / "x.parquet"))] == ["unreadable"]


LONG = "a" * (2 * LIMIT)


def _dictionary(rows: int, **options: object) -> bytes:
    """A table of one value, named by so many rows."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([LONG]))
    return _table(text, dictionary_pagesize_limit=1 << 30, **options)


def _table(text: pa.Array, **options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": text}), out, compression="zstd", **options)
    return out.getvalue()


BOMBS = {
    "a dictionary": lambda: _dictionary(256, store_schema=False),
    "a dictionary that stays one": lambda: _dictionary(256),
    "prefixes": lambda: _table(
        pa.array([LONG] * 256),
        use_dictionary=False,
        column_encoding={"text": "DELTA_BYTE_ARRAY"},
    ),
    "plain values": lambda: _table(pa.array([LONG] * 40), use_dictionary=False, write_batch_size=1),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_values_longer_than_a_page_are_rows_that_were_never_held_together(
    tmp_path: Path, bomb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BATCH_BYTES", 4 * len(LONG))
    path = tmp_path / "x.parquet"
    path.write_bytes(BOMBS[bomb]())
    before = pa.default_memory_pool().bytes_allocated()
    most = 0
    for record in records(str(path), LIMIT):
        assert (record.reason, record.size) == ("too_large", len(LONG))
        most = max(most, pa.default_memory_pool().bytes_allocated() - before)
    assert record.index == pq.read_metadata(path).num_rows - 1
    assert most < 16 * len(LONG)


def test_a_table_that_stands_for_far_more_than_it_holds_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BATCH_BYTES", 4 * len(LONG))
    monkeypatch.setattr(parquet, "most_bytes", lambda *of: 100 * len(LONG))
    path = tmp_path / "x.parquet"
    path.write_bytes(_dictionary(256))
    found = list(records(str(path), 2 * len(LONG)))
    kept = [record.reason for record in found].index("damaged")
    assert len(found) == 256 and 90 < kept <= 100
    assert {r.reason for r in found[kept:]} == {"damaged"} and "stand for" in found[-1].detail


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary()])
def test_a_text_of_any_type_is_the_same_row(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "x.parquet"
    values = ["<p>one", None, "x" * (LIMIT + 1)]
    pq.write_table(pa.table({"html": pa.array(values).cast(kind)}), path)
    found = list(records(str(path), LIMIT))
    assert [r.reason for r in found] == [None, "damaged", "too_large"]
    assert found[0].payload == b"<p>one" and found[2].detail == f"{LIMIT + 1} bytes"
