"""The archives of archiving projects: every record accounted for, and the same as fastwarc's."""

import gzip
import io
import re
from collections import Counter
from pathlib import Path

from fastwarc.warc import ArchiveIterator

from jobs.crawl import REASONS, records


def real_files(shared: Path) -> list[Path]:
    """The archives of archiving projects."""
    return [
        path
        for path in sorted((shared / "data" / "warc-real").rglob("*"))
        if path.is_file() and path.suffix != ".md"
    ]


def header_lines(path: Path) -> int:
    """How many WARC records start in a file, counted without the reader; ARC records by their
    header lines."""
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


def test_few_real_pages_are_marked_as_truncated(shared: Path) -> None:
    marked: Counter[tuple[str, str]] = Counter()
    for path in real_files(shared):
        marked.update((path.name, r.truncated) for r in records(str(path)) if not r.reason)
    assert {key: count for key, count in marked.items() if key[1]} == {
        ("sample.warc.txt", "record_length"): 1,
        ("sample.warc.txt", "recovered"): 2,
        ("example-wrong-chunks.warc.gz", "http_length"): 1,
    }
    for folder in ("crawl", "crawl2"):
        for path in (shared / "data" / folder).glob("*.warc.gz"):
            assert {r.truncated for r in records(str(path))} == {""}, path.name
