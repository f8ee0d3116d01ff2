"""The whole of one record's way, from a crawl file's bytes to a row that can be stored: whatever
the bytes are and whatever fails, every record is a row, and a failure costs its own record alone.
"""

import encodings
import gzip
import io
import json
import pkgutil
from collections.abc import Callable
from encodings.aliases import aliases
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.crawl import Source
from jobs import crawl
from jobs.crawl import Found, Origin, Record, records
from jobs.crawl.bundles import Bundle, Piece
from jobs.extract import Extract
from jobs.page.document import SCHEMA, batches_of, document
from tests.jobs.crawl.archive_files import arc_record, warc_record

MODULES = (module.name for module in pkgutil.iter_modules(encodings.__path__))
CODECS = sorted({*aliases, *aliases.values(), *MODULES})
LIMIT = 1 << 16
HOSTILE = b"a\0b\xef\xbf\xbe \xed\xa0\x80 \xff"
ORIGIN = Origin("x", "web", bytes(8))
SURROGATE = "\ud800"


def rows_of(path: Path) -> tuple[list[dict[str, Any]], Found]:
    """The rows of a crawl file as they are stored, and what its reader counted."""
    source = Source(str(path), path.name, path.stat().st_size, "0" * 64, "web")
    piece, found = Piece(source), Found()
    batches = list(Extract(Bundle((piece,)), LIMIT, 1).batches(piece, found))
    assert all(batch.schema == SCHEMA for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()], found


def http(body: bytes, charset: str) -> bytes:
    """A response that declares a charset."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset={charset}\r\n\r\n"
    return head.encode("utf-8", "surrogatepass") + body


def warc(body: bytes, charset: str) -> bytes:
    return warc_record(1, block=http(body, charset)) + warc_record(2)


def warc_gz(body: bytes, charset: str) -> bytes:
    return gzip.compress(warc_record(1, block=http(body, charset)), 0) + gzip.compress(
        warc_record(2), 0
    )


def arc(body: bytes, charset: str) -> bytes:
    block = http(body, charset)
    line = f"http://example.org/1 192.0.2.1 20240501100000 text/html {len(block)}\n"
    return line.encode() + block + b"\n" + arc_record(2)


def html(body: bytes, charset: str) -> bytes:
    return b"<html><meta charset=%s>" % charset.encode("utf-8", "surrogatepass") + body


def jsonl(body: bytes, charset: str) -> bytes:
    text = body.decode("utf-8", "surrogateescape")
    first = {"url": charset + text, "html": f"<meta charset={charset}>{text}", "date": charset}
    lines = [json.dumps(first).encode(), b"x" + body.replace(b"\n", b" "), b'{"text": "x"}']
    return b"\n".join(lines)


def parquet(body: bytes, charset: str) -> bytes:
    sink = pa.BufferOutputStream()
    binary = pa.array([body, html(body, charset), None], pa.binary())
    loose = binary.view(pa.string())  # some writers do not look whether it is UTF-8
    table = {"url": loose, "html": binary, "date": pa.array([2**62, 0, None], pa.timestamp("us"))}
    pq.write_table(pa.table(table), sink)
    return sink.getvalue().to_pybytes()


FORMS: dict[str, tuple[Callable[[bytes, str], bytes], int]] = {
    "x.warc": (warc, 2),
    "x.warc.gz": (warc_gz, 2),
    "x.arc": (arc, 2),
    "x.html": (html, 1),
    "x.jsonl": (jsonl, 3),
    "x.parquet": (parquet, 3),
}
"""File name -> what makes it of a body and a charset, and how many records that is."""


@pytest.mark.parametrize("name", FORMS)
@given(
    body=st.one_of(st.binary(max_size=120), st.just(HOSTILE)),
    charset=st.one_of(st.sampled_from(CODECS), st.text(st.characters(codec=None), max_size=9)),
)
@settings(
    deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_in_any_codec_of_any_format_are_rows_and_none_is_lost(
    tmp_path: Path, name: str, body: bytes, charset: str
) -> None:
    make, count = FORMS[name]
    path = tmp_path / name
    path.write_bytes(make(body, charset))
    rows, found = rows_of(path)
    assert len(rows) == found.records
    if charset in CODECS and b"\r" not in body:
        assert len(rows) == count
    assert len({row["row_id"] for row in rows}) == len(rows)
    assert "failed" not in {row["reject_reason"] for row in rows}
    assert found.bytes_read == path.stat().st_size


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_that_python_knows_is_read_or_ignored(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "x.html"
    path.write_bytes(html(b"<p>some words \xff</p>", codec))
    ((row,), _) = rows_of(path)
    assert row["reject_reason"] is None and "some words" in row["text"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"url": "https://a/\\ud800", "text": "one"}',
        b'{"url": "https://a/", "text": "one \\udfff", "date": "9999-12-31T23:59:59-12:00"}',
        b'{"text": "one", "date": "0001-01-01T00:00:00+14:00"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"text": ' + b"9" * 5000 + b"}",
        b'{"text": "\\u0000\\uffff\\ufffe"}',
    ],
)
def test_a_hostile_line_costs_itself_at_most(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "before"}\n' + line + b'\n{"text": "behind"}\n')
    rows, _ = rows_of(path)
    assert [rows[0]["text"], rows[2]["text"], len(rows)] == ["before", "behind", 3]


FAILURES = [ValueError("no \ud800 such"), MemoryError(), RecursionError("too deep")]


@pytest.mark.parametrize("error", FAILURES)
@pytest.mark.parametrize("where", ["jobs.page.document.language", "jobs.page.document.count_words"])
def test_a_page_that_nobody_can_read_is_failed_and_its_neighbours_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    module, _, name = where.rpartition(".")
    right = getattr(import_module(module), name)

    def fails(given: str, *more: Any) -> Any:
        if "number 2" in given:
            raise error
        return right(given, *more)

    monkeypatch.setattr(f"{module}.{name}", fails)
    path = tmp_path / "x.warc"
    path.write_bytes(b"".join(warc_record(n) for n in (1, 2, 3)))
    rows, _ = rows_of(path)
    assert [row["reject_reason"] for row in rows] == [None, "failed", None]
    assert rows[1]["detail"].startswith(type(error).__name__)
    assert (rows[1]["url"], rows[1]["text"]) == ("https://example.org/2", None)


@pytest.mark.parametrize("error", FAILURES)
def test_a_record_whose_reading_raises_is_failed_and_the_next_ones_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    right = crawl.archives.warc_record

    def fails(index: int, *more: Any) -> Record:
        if index == 1:
            raise error
        return right(index, *more)

    monkeypatch.setattr("jobs.crawl.archives.warc_record", fails)
    path = tmp_path / "x.warc.gz"
    path.write_bytes(b"".join(gzip.compress(warc_record(n)) for n in (1, 2, 3)))
    rows, _ = rows_of(path)
    assert [row["reject_reason"] for row in rows] == [None, "failed", None]
    assert rows[1]["detail"].startswith(type(error).__name__)


@pytest.mark.parametrize("error", FAILURES)
def test_a_reader_that_raises_in_the_middle_leaves_what_it_had_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    right = crawl.json_lines

    def fails(*given: Any) -> Any:
        for record in right(*given):
            yield record
            if record.index == 1:
                raise error

    monkeypatch.setattr("jobs.crawl.json_lines", fails)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "one"}\n' * 5)
    rows, found = rows_of(path)
    assert [row["reject_reason"] for row in rows] == [None, None, "failed"]
    assert type(error).__name__ in rows[2]["detail"]
    assert found.records == 3
    assert len({row["row_id"] for row in rows}) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_who_stops_the_step_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def stops(*given: Any) -> Any:
        raise error

    for where in ("jobs.page.document.language", "jobs.crawl.archives.warc_record"):
        with monkeypatch.context() as patched:
            patched.setattr(where, stops)
            (tmp_path / "x.warc").write_bytes(warc_record(1))
            with pytest.raises(error):
                rows_of(tmp_path / "x.warc")


def test_a_disk_that_fails_is_an_error_and_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(io.BytesIO):
        """A file whose second half cannot be read."""

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > len(self.getvalue()) // 2:
                raise OSError(5, "Input/output error")
            return super().read(size)

    stored = Failing(warc_record(1) * 20_000)
    monkeypatch.setattr("infra.storage.open_read", lambda uri: stored)
    with pytest.raises(OSError, match="Input/output error"):
        list(records(str(tmp_path / "x.warc")))


def test_a_value_that_cannot_be_stored_costs_its_row_alone() -> None:
    rows = [document(Record(n, n, "row", text="x"), ORIGIN, 1) for n in range(3)]
    rows[1]["title"] = SURROGATE
    stored = [row for batch in batches_of(rows) for row in batch.to_pylist()]
    assert [row["reject_reason"] for row in stored] == [None, "failed", None]
    assert stored[1]["row_id"] == rows[1]["row_id"] and "surrogates" in stored[1]["detail"]


def test_a_title_that_no_page_has_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    path.write_bytes(b"<title>" + b"many words " * 5000 + b"</title><p>some words</p>")
    ((row,), _) = rows_of(path)
    assert row["title"] == ("many words " * 5000)[:2000].rstrip()
    assert row["text"] == "some words"


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=1, max_size=12))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_batch_ends_at_the_row_that_fills_it_whichever_its_long_strings_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lengths: list[tuple[int, int]]
) -> None:
    monkeypatch.setattr("jobs.extract.BYTES_PER_GROUP", 6000)
    path = tmp_path / "x.jsonl"
    pages = [{"url": "u" * url, "text": "t" * text} for url, text in lengths]
    path.write_text("".join(json.dumps(page) + "\n" for page in pages))
    piece = Piece(Source(str(path), path.name, path.stat().st_size, "0" * 64, "web"))
    batches = list(Extract(Bundle((piece,)), LIMIT, 1).batches(piece, Found()))
    assert sum(batch.num_rows for batch in batches) == len(pages)
    for batch in batches:
        rows = batch.slice(0, batch.num_rows - 1).to_pylist()
        assert sum(len(row["url"]) + len(row["text"] or "") for row in rows) < 6000
