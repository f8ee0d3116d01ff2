"""The extract step: every record of every crawl file becomes one row, a night costs its new files,
the result follows from the content."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.errors import PythonException

from infra import storage
from infra.crawl import Source, sources_of
from infra.lake import Lake, shards
from infra.lake.rows import read_rows
from infra.manifest import Manifest
from infra.step import Task
from jobs import extract, filter
from jobs.crawl import REASONS, Found, records
from jobs.crawl.bundles import Bundle, Piece, bundles
from jobs.crawl.ranges import Range
from jobs.extract import KEPT, Extract, ExtractParameters
from jobs.filter import FilterParameters
from jobs.spark.session import Session
from tests.jobs.crawl.archive_files import warc_record

ARTICLE = (
    "<html><head><title>A title</title></head><body><p>"
    + "The page says that it has some words. " * 10
    + "</p></body></html>"
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


def page(number: int, html: str = ARTICLE) -> bytes:
    """A gzipped WARC response."""
    return gzip.compress(warc_record(number, block=HEAD + html.encode()), mtime=0)


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


def task(lake: Lake, crawl: Path | str) -> Task:
    """The extract step over these files."""
    sources = sources_of([str(crawl)], lake.root)
    return Task(extract.STEP, lake, "test", ExtractParameters(), {}, sources)


def kept(done: Task) -> list[dict[str, Any]]:
    """The documents, in order."""
    return [
        row
        for stack in done.artifact.stacks()
        for batch in read_rows(done.lake.root, stack, KEPT.names)
        for row in batch.to_pylist()
    ]


def rejected(done: Task, manifest: Manifest) -> list[dict[str, Any]]:
    """The rejected rows."""
    paths = [entry.path for entry in manifest.files if entry.is_rejected]
    return [row for path in paths for row in pq.read_table(done.artifact.at_root(path)).to_pylist()]


def shard_files(lake: Lake) -> set[str]:
    """All that lies below the lake's shards."""
    return {info.path for info in storage.list_files(storage.join(lake.root, "shards"))}


def test_every_record_becomes_a_document_or_a_rejected_row(
    session: Session, lake: Lake, crawl: Path
) -> None:
    done = task(lake, crawl)
    counts = extract.run(session, done).counts
    assert (counts.rows_in, counts.rows_out, counts.rejected) == (7, 3, {"damaged": 3, "empty": 1})
    rows = {row["url"]: row for row in kept(done)}
    assert counts.extra["bytes_text"] == sum(row["n_bytes"] for row in rows.values())
    web = rows["https://example.org/1"]
    assert (web["title"], web["domain"], web["source"]) == ("A title", "example.org", "crawl")
    assert (web["warc_file"], web["mime"]) == ("web-00000.warc.gz", "text/html")
    assert (web["lang"], web["extractor"], web["n_chars"]) == ("en", "resiliparse", 379)
    assert web["fetched_at"].isoformat() == "2024-05-01T10:00:00+00:00"
    assert rows["https://b.example/x"]["text"] == "Ein kurzer Text, der so bleibt."
    assert rows["https://b.example/x"]["extractor"] == "verbatim"


def test_what_bears_on_permission_is_kept_and_a_rule_can_ask_for_it(
    session: Session, lake: Lake, tmp_path: Path
) -> None:
    body, short = ARTICLE.encode(), b"Content-Length: 99999\r\n\r\n"
    blocks = {
        "free": HEAD + body,
        "short": HEAD[:-2] + short + body,
        "closed": HEAD[:-2] + b"X-Robots-Tag: noai\r\n\r\n" + body,
        "robots.txt": b"HTTP/1.1 200 OK\r\n\r\nUser-agent: *\nDisallow: /closed\n",
    }
    members = [
        warc_record(1, block=block).replace(b"example.org/1", b"example.org/" + name.encode())
        for name, block in blocks.items()
    ]
    (tmp_path / "web.warc.gz").write_bytes(b"".join(map(gzip.compress, members)))
    done = task(lake, tmp_path / "web.warc.gz")
    manifest = extract.run(session, done)
    rows = {row["url"].rpartition("/")[2]: row for row in kept(done)}
    assert {name: row["truncated"] for name, row in rows.items()} == {
        "free": None,
        "short": "http_length",
        "closed": None,
    }
    assert rows["closed"]["http_headers"].splitlines() == [
        "HTTP/1.1 200 OK",
        "content-type: text/html",
        "x-robots-tag: noai",
    ]
    (robots,) = rejected(done, manifest)
    assert (robots["reject_reason"], robots["evidence"]) == (
        "robots_txt",
        "User-agent: *\nDisallow: /closed\n",
    )
    rules = {
        "permission": "http_headers NOT LIKE '%x-robots-tag:%noai%'",
        "whole": "truncated IS NULL",
    }
    decided = Task(
        filter.STEP, lake, "test", FilterParameters(rules=rules), {"documents": done.artifact}
    )
    counts = filter.run(session, decided).counts
    assert (counts.rows_out, counts.rejected) == (1, {"permission": 1, "whole": 1})


def test_rejected_rows_say_what_exactly_was_wrong_and_have_no_text(
    session: Session, lake: Lake, crawl: Path
) -> None:
    done = task(lake, crawl)
    rows = rejected(done, extract.run(session, done))
    assert all(row["detail"] for row in rows)
    (empty,) = [row for row in rows if row["reject_reason"] == "empty"]
    assert (empty["url"], empty["detail"]) == (
        "https://example.org/3",
        "0 characters of main text",
    )
    assert {row["warc_file"] for row in rows} == {
        "noise.warc.gz",
        "rows.jsonl",
        "web-00000.warc.gz",
    }
    assert "text" not in rows[0]


def test_the_manifest_says_what_was_read(session: Session, lake: Lake, crawl: Path) -> None:
    manifest = extract.run(session, task(lake, crawl))
    assert [Path(entry["uri"]).name for entry in manifest.details["crawl"]] == [
        "noise.warc.gz",
        "rows.jsonl",
        "web-00000.warc.gz",
    ]
    assert manifest.details["bytes_in"] == sum(path.stat().st_size for path in crawl.iterdir())
    assert manifest.counts.extra["bytes_read"] == manifest.details["bytes_in"]
    assert {entry["source"] for entry in manifest.details["crawl"]} == {"crawl"}
    assert [column["name"] for column in manifest.schema] == KEPT.names


def test_the_result_does_not_depend_on_where_the_crawl_lies(
    session: Session, lake: Lake, crawl: Path, tmp_path: Path
) -> None:
    first = extract.run(session, task(lake, crawl))
    elsewhere = tmp_path / "elsewhere" / "crawl"
    elsewhere.mkdir(parents=True)
    for path in crawl.iterdir():
        (elsewhere / path.name).write_bytes(path.read_bytes())
    other = Lake.at(str(tmp_path / "other"))
    again = extract.run(Session(session.spark, other.root), task(other, f"{elsewhere}/*"))
    assert (first.digest, first.content) == (again.digest, again.content)


def large_rows(path: Path, first: int, count: int) -> None:
    """A JSONL file large enough to be a unit of work by itself."""
    row = {"text": "A line that says something. " * 50}
    lines = (json.dumps({"url": f"https://a/{first + n}", **row}) for n in range(count))
    path.write_text("".join(f"{line}\n" for line in lines))


def test_a_crawl_that_grew_by_a_file_costs_that_file(
    session: Session, tmp_path: Path, lake: Lake
) -> None:
    folder = tmp_path / "crawl"
    folder.mkdir()
    for number in range(2):
        large_rows(folder / f"web-{number}.jsonl", 1000 * number, 900)
    extract.run(session, task(lake, folder))
    before = shard_files(lake)
    large_rows(folder / "web-2.jsonl", 2000, 900)
    grown = extract.run(session, task(lake, folder))
    notes = {path for path in shard_files(lake) - before if path.endswith(".json")}
    assert len(notes) == 1
    assert before < shard_files(lake)
    assert grown.counts.rows_out == 2700
    scratch = Lake.at(str(tmp_path / "scratch"))
    fresh = extract.run(Session(session.spark, scratch.root), task(scratch, folder))
    assert (fresh.digest, fresh.content, fresh.counts) == (
        grown.digest,
        grown.content,
        grown.counts,
    )


def test_one_page_more_among_small_files_makes_one_shard(
    session: Session, tmp_path: Path, lake: Lake
) -> None:
    folder = tmp_path / "crawl"
    folder.mkdir()
    for number in range(40):
        (folder / f"page-{number:03d}.html").write_text(ARTICLE.replace("title", str(number)))
    first = extract.run(session, task(lake, folder))
    assert len({entry.shard for entry in first.files}) < 4
    before = shard_files(lake)
    (folder / "page-020b.html").write_text(ARTICLE.replace("title", "new"))
    again = extract.run(session, task(lake, folder))
    notes = {path for path in shard_files(lake) - before if path.endswith(".json")}
    assert 1 <= len(notes) <= 2
    assert again.counts.rows_out == 41


def test_a_failing_worker_leaves_no_half_shard_and_the_next_run_goes_on(
    session: Session, lake: Lake, crawl: Path
) -> None:
    wanted = task(lake, crawl)
    blocked = Path(lake.root, "shards", "extract")
    blocked.parent.mkdir(parents=True)
    blocked.write_bytes(b"a file where the folder should be")
    with pytest.raises(PythonException):
        extract.run(session, wanted)
    assert wanted.artifact.manifest() is None
    blocked.unlink()
    assert shard_files(lake) == set()
    assert extract.run(session, wanted).counts.rows_out == 3


def test_a_lost_record_is_an_error_and_leaves_no_file(lake: Lake, crawl: Path) -> None:
    path = crawl / "rows.jsonl"
    piece = Piece(Source(str(path), path.name, path.stat().st_size, "0" * 64, "web"))

    class Forgetful(Extract):
        """Loses the first record of a file."""

        def batches(self, piece: Piece, found: Found) -> Any:
            for rows in super().batches(piece, found):
                yield rows.slice(1)

    with pytest.raises(Exception, match=r"rows\.jsonl: 1 rows for 2 records; please report"):
        shards.make(lake.root, "extract/ab", Forgetful(Bundle((piece,)), 1 << 20, 1))
    assert shard_files(lake) == set()


def test_a_part_in_which_no_line_starts_is_no_loss(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"url": "https://a/", "text": "long " * 3000}) + "\n")
    size = path.stat().st_size
    parts = [Range(0, 5000), Range(5000, 10_000), Range(10_000, size)]
    made = []
    for number, part in enumerate(parts):
        bundle = Bundle((Piece(Source(str(path), path.name, size, "0" * 64, "web"), part),))
        made.append(shards.make(lake.root, f"extract/{number}", Extract(bundle, 1 << 20, 1))[0])
    assert [(s.counts.rows_in, s.counts.rows_out) for s in made] == [(1, 1), (0, 0), (0, 0)]


def test_a_large_crawl_file_is_written_in_bounded_row_groups(lake: Lake, tmp_path: Path) -> None:
    lines = tmp_path / "rows.jsonl"
    rows = ({"url": f"https://a/{n}", "text": f"Text {n}."} for n in range(2500))
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (bundle,) = bundles(sources_of([str(lines)], lake.root))
    shard, _ = shards.make(lake.root, "extract/ab", Extract(bundle, 1 << 20, 1))
    metadata = pq.ParquetFile(Path(lake.root, shard.data.path)).metadata
    groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert groups == [1000, 1000, 500]


def test_real_archives_end_with_every_record_accounted_for(
    session: Session, lake: Lake, shared: Path
) -> None:
    done = task(lake, str(shared / "data" / "warc-real" / "**" / "*arc*"))
    counts = extract.run(session, done).counts
    expected = sum(1 for source in done.crawl for _ in records(source.uri))
    assert counts.rows_in == expected == counts.rows_out + sum(counts.rejected.values())
    assert set(counts.rejected) <= set(REASONS)
    assert counts.rows_out > 100
