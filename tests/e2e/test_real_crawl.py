"""The archives of archiving projects go through extract, filter and dedup in one run, and no record
is lost on the way: each step's rows in are its rows out and rejected, and the files' own count."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
from fastwarc.warc import ArchiveIterator

from infra import storage
from infra.lake.rows import read_rows, stacks_of
from infra.manifest import Manifest
from jobs.crawl import REASONS
from tests.e2e.whole import finish, manifests, parameters

FILES = 69
UNREAD = "sample.warc.txt"
"""All its lengths are wrong; fastwarc ends at the first without a word."""


def counted(path: Path) -> tuple[int, bool]:
    """Records of a file as fastwarc counts them, and whether it got to the end: it reads no ARC and
    stops at damage."""
    count = 0
    with path.open("rb") as stream:
        try:
            for _ in ArchiveIterator(stream, parse_http=False):
                count += 1
        except OSError:
            return count, False
    return count, path.name != UNREAD


def rows_by_file(root: str, manifest: Manifest) -> Counter[str]:
    """How many rows, kept or rejected, each crawl file has."""
    found: Counter[str] = Counter()
    for stack in stacks_of(manifest):
        for batch in read_rows(root, stack, ["warc_file"]):
            found.update(batch.column("warc_file").to_pylist())
    for entry in manifest.files:
        if entry.is_rejected:
            with storage.open_read(storage.join(root, entry.path)) as stream:
                found.update(pq.read_table(stream, columns=["warc_file"])["warc_file"].to_pylist())
    return found


def test_all_real_archives_go_through_extract_filter_and_dedup_in_one_run(
    shared: Path, tmp_path: Path
) -> None:
    crawl = shared / "data" / "warc-real"
    files = [path for path in sorted(crawl.rglob("*")) if path.is_file()]
    assert len(files) == FILES
    root = str(tmp_path / "lake")
    values = parameters(root, [str(crawl)])
    del values["filter"]
    finish(values, tmp_path / "logs", "dedup")
    made = manifests(values, "dedup")

    extract, clean, dedup = made["extract"], made["filter"], made["dedup"]
    for manifest in (extract, clean, dedup):
        counts = manifest.counts
        assert counts.rows_in == counts.rows_out + sum(counts.rejected.values())
    assert clean.counts.rows_in == extract.counts.rows_out > 100
    assert dedup.counts.rows_in == clean.counts.rows_out > 10
    assert dedup.counts.rejected.keys() <= {"exact_duplicate", "near_duplicate"}
    assert extract.counts.rejected.keys() <= REASONS.keys()
    assert extract.counts.rejected["robots_txt"] == 7

    rows = rows_by_file(root, extract)
    assert rows.total() == extract.counts.rows_in and set(rows) == {path.name for path in files}
    theirs: Counter[str] = Counter()
    partly: set[str] = set()
    for path in files:
        count, ended = (1, True) if path.suffix == ".md" else counted(path)
        theirs[path.name] += count
        partly |= set() if ended else {path.name}
    assert len(partly) < 12
    assert {n: rows[n] for n in theirs if n not in partly} == {
        n: count for n, count in theirs.items() if n not in partly
    }
    assert all(rows[name] >= max(theirs[name], 2) for name in partly)
