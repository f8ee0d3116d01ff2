"""The extract step: every record of every crawl file becomes one row, a crash costs one file, the
result follows from the content."""

import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.jobs.test_crawl import warc_record

from infra import storage
from infra.lake import Lake
from infra.step import Task, sources_of
from jobs import extract
from jobs.crawl import REASONS, Record, records
from jobs.extract import ExtractParameters, document, domain_of, source_of, write_shard
from jobs.spark.session import Session

ARTICLE = (
    "<html><head><title>A title</title></head><body><p>"
    + "The page says that it has some words. " * 10
    + "</p></body></html>"
)


def page(number: int, html: str = ARTICLE) -> bytes:
    """A gzipped WARC response."""
    return gzip.compress(
        warc_record(
            number, block=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + html.encode()
        ),
        mtime=0,
    )


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    """Three crawl files of different kinds, one with a broken member, one that cannot be read."""
    folder = tmp_path / "crawl"
    folder.mkdir()
    broken = bytearray(page(2))
    broken[30] ^= 0xFF
    (folder / "web-00000.warc.gz").write_bytes(
        page(1) + bytes(broken) + page(3, "<html></html>") + page(4)
    )
    rows = [
        {"url": "https://b.example/x", "text": "Ein kurzer Text, der so bleibt."},
        {"url": "https://b.example/y"},
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "noise.warc.gz").write_bytes(b"\x1f\x8b\x08 nothing at all")
    return folder


def task(lake: Lake, pattern: str) -> Task:
    """The extract step over these files."""
    return Task(extract.STEP, lake, "test", ExtractParameters(), {}, sources_of([pattern]))


def test_every_record_becomes_a_document_or_a_rejected_row(
    session: Session, lake: Lake, crawl: Path
) -> None:
    done = task(lake, str(crawl))
    counts = extract.run(session, done).counts
    assert (counts.rows_in, counts.rows_out, counts.rejected) == (7, 3, {"damaged": 3, "empty": 1})
    rows = {row["url"]: row for row in session.read(done.artifact).collect()}
    web = rows["https://example.org/1"]
    assert (web["title"], web["domain"], web["source"], web["warc_file"]) == (
        "A title",
        "example.org",
        "web",
        "web-00000.warc.gz",
    )
    assert (web["lang"], web["extractor"], web["mime"], web["n_chars"]) == (
        "en",
        "resiliparse",
        "text/html",
        len(web["text"]),
    )
    assert web["fetched_at"].isoformat() == "2024-05-01T10:00:00"
    assert rows["https://b.example/x"]["text"] == "Ein kurzer Text, der so bleibt."
    assert rows["https://b.example/x"]["extractor"] == "verbatim"


def test_the_manifest_says_what_was_read(session: Session, lake: Lake, crawl: Path) -> None:
    details = extract.run(session, task(lake, str(crawl))).details
    assert [Path(entry["uri"]).name for entry in details["crawl"]] == [
        "noise.warc.gz",
        "rows.jsonl",
        "web-00000.warc.gz",
    ]
    assert details["bytes_in"] == sum(path.stat().st_size for path in crawl.iterdir())
    assert details["bytes_text"] > 600


def test_the_result_does_not_depend_on_where_the_crawl_lies(
    session: Session, lake: Lake, crawl: Path, tmp_path: Path
) -> None:
    first = extract.run(session, task(lake, str(crawl)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in crawl.iterdir():
        (elsewhere / path.name).write_bytes(path.read_bytes())
    other = Lake.at(str(tmp_path / "other"))
    again = extract.run(session, task(other, f"{elsewhere}/*"))
    assert (first.digest, first.content) == (again.digest, again.content)


def test_a_finished_shard_is_used_again_after_a_crash(
    session: Session, lake: Lake, crawl: Path
) -> None:
    wanted = task(lake, str(crawl))
    writer = lake.begin(wanted.identity, wanted.name)
    index, source = next((n, s) for n, s in enumerate(wanted.crawl) if s.uri.endswith("rows.jsonl"))
    shard = writer.work("files", f"{index:05d}-{source.content[:12]}.parquet")
    assert write_shard(source, shard, ExtractParameters()) == 2
    (crawl / "rows.jsonl").unlink()
    counts = extract.run(session, wanted).counts
    assert (counts.rows_in, counts.rows_out) == (7, 3)
    assert not any(
        info.path.startswith("_work") for info in storage.list_files(wanted.artifact.uri)
    )


def test_limits_reject_with_a_reason() -> None:
    assert (
        document(Record(0, 0, "html", payload=b"<p>short", mime="text/html"), "x.html", 9)[
            "reject_reason"
        ]
        == "empty"
    )
    assert (
        document(Record(0, 0, "html", payload=b"<p>long enough", mime="text/html"), "x.html", 9)[
            "reject_reason"
        ]
        is None
    )
    assert document(Record(0, 0, "", reason="too_large"), "x.html", 1)["text"] is None


def test_a_large_crawl_file_is_written_in_bounded_row_groups(tmp_path: Path) -> None:
    lines = tmp_path / "rows.jsonl"
    lines.write_text(
        "".join(
            json.dumps({"url": f"https://a/{n}", "text": f"Text {n}."}) + "\n" for n in range(2500)
        )
    )
    source = sources_of([str(lines)])[0]
    assert write_shard(source, str(tmp_path / "shard.parquet"), ExtractParameters()) == 2500
    metadata = pq.ParquetFile(tmp_path / "shard.parquet").metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [
        1000,
        1000,
        500,
    ]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("web-00000.warc.gz", "web"),
        ("CC-MAIN-20240501-00012.warc.wet.gz", "CC-MAIN-20240501"),
        ("part-00003.parquet", "part"),
        ("page.html", "page"),
        ("00001.jsonl.zst", "00001"),
    ],
)
def test_the_source_is_the_file_without_shard_and_extensions(file: str, source: str) -> None:
    assert source_of(file) == source


def test_the_domain_is_the_host_without_www() -> None:
    assert [
        domain_of(u) for u in ("https://www.Example.org:8080/a", "file:///x", "http://[bad", "")
    ] == ["example.org", "", "", ""]


def test_real_archives_end_with_every_record_accounted_for(
    session: Session, lake: Lake, shared: Path
) -> None:
    done = task(lake, str(shared / "data" / "warc-real" / "**" / "*arc*"))
    counts = extract.run(session, done).counts
    expected = sum(1 for source in done.crawl for _ in records(source.uri))
    assert counts.rows_in == expected == counts.rows_out + sum(counts.rejected.values())
    assert set(counts.rejected) <= set(REASONS)
    assert counts.rows_out > 100
