"""Rows are told apart by construction: copies of files and of pages pass the whole chain, each
counted once, in an order that no file's place or name decides."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from infra import storage
from infra.crawl import sources_of
from infra.lake import Lake
from infra.lake.rows import read_rows
from infra.step import Task
from jobs import dedup, extract, tokenize, tokenizer
from jobs.spark.session import Session
from tests.jobs.crawl.archive_files import warc_record
from tests.jobs.test_extract import ARTICLE, HEAD

PAGES = 10
HTML = [HEAD + ARTICLE.replace("A title", f"Title {n}").encode() for n in range(PAGES)]


def member(*numbers: int) -> bytes:
    """One gzip member with these pages, each with an own text."""
    blocks = [HTML[n].replace(b"some words", f"{n} and {n + 100} words".encode()) for n in numbers]
    pairs = zip(numbers, blocks, strict=True)
    return gzip.compress(b"".join(warc_record(n, block=block) for n, block in pairs), mtime=0)


def ran(
    session: Session, lake: Lake, references: list[str], *, without: str = ""
) -> dict[str, Any]:
    """The chain from extract to tokenize over these crawl files: step -> finished task."""
    session = Session(session.spark, lake.root)
    first = Task(
        extract.STEP,
        lake,
        "test",
        extract.ExtractParameters(),
        {},
        sources_of(references, lake.root),
    )
    extract.run(session, first)
    done, last = {"extract": first}, first
    if without != "dedup":
        limits = dedup.DedupParameters(max_source_loss=1.0)
        last = Task(dedup.STEP, lake, "test", limits, {"documents": first.artifact})
        dedup.run(session, last)
        done["dedup"] = last
    inputs = {"documents": last.artifact}
    given = tokenizer.TokenizerParameters(type="bytes")
    done["tokenizer"] = Task(tokenizer.STEP, lake, "test", given, inputs)
    tokenizer.run(session, done["tokenizer"])
    inputs = {**inputs, "tokenizer": done["tokenizer"].artifact}
    given_too = tokenize.TokenizeParameters(val_fraction=0.2)
    done["tokenize"] = Task(tokenize.STEP, lake, "test", given_too, inputs)
    tokenize.run(session, done["tokenize"])
    return done


def ids(task: Task) -> list[tuple[bytes, bytes]]:
    """(row_id, doc_id) of every kept row."""
    return [
        (row["row_id"], row["doc_id"])
        for stack in task.artifact.stacks()
        for batch in read_rows(task.lake.root, stack, ["row_id", "doc_id"])
        for row in batch.to_pylist()
    ]


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    """The same file under two folders; in it a member with each page captured twice."""
    data = member(*range(PAGES), *range(PAGES))
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.warc.gz").write_bytes(data)
    return tmp_path


def test_copies_of_a_file_and_of_a_page_are_rows_of_their_own_and_add_up(
    session: Session, lake: Lake, crawl: Path
) -> None:
    done = ran(session, lake, [str(crawl / "one"), str(crawl / "two")])
    counts = {name: task.artifact.require().counts for name, task in done.items()}
    assert (counts["extract"].rows_in, counts["extract"].rows_out) == (40, 40)
    assert (counts["dedup"].rows_in, counts["dedup"].rows_out) == (40, PAGES)
    assert counts["dedup"].rejected == {"exact_duplicate": 30}
    assert (counts["tokenize"].rows_in, counts["tokenize"].rows_out) == (PAGES, PAGES)
    found = ids(done["extract"])
    assert len({row_id for row_id, _ in found}) == 40
    assert set(Counter(doc_id for _, doc_id in found).values()) == {4}
    best = {doc_id: min(row for row, doc in found if doc == doc_id) for _, doc_id in found}
    assert dict(map(reversed, ids(done["dedup"]))) == best  # type: ignore[arg-type]


def test_neither_order_nor_place_nor_name_of_files_changes_what_is_learnt_from(
    session: Session, tmp_path: Path, crawl: Path
) -> None:
    more = [{"text": f"Row {n} of a table, which has an own text."} for n in range(9)]
    (crawl / "two" / "x.jsonl").write_text(
        "".join(json.dumps({"url": f"https://t/{n}", **row}) + "\n" for n, row in enumerate(more))
    )
    given = [f"a={crawl}/one", f"b={crawl}/two"]
    for without in ("", "dedup"):
        first = ran(session, Lake.at(f"{tmp_path}/lake"), given, without=without)
        moved = tmp_path / f"moved{without}"
        moved.mkdir()
        names = {
            "one/x.warc.gz": "9.warc.gz",
            "two/x.warc.gz": "0.warc.gz",
            "two/x.jsonl": "z.jsonl",
        }
        for old, new in names.items():
            (moved / new).write_bytes((crawl / old).read_bytes())
        again = ran(
            session,
            Lake.at(f"{moved}/lake"),
            [f"b={moved}/0.warc.gz", f"b={moved}/z.jsonl", f"a={moved}/9.warc.gz"],
            without=without,
        )
        contents = [sorted(ids(done["extract"])) for done in (first, again)]
        assert contents[0] == contents[1]
        tokens = [
            [entry.sha256 for entry in done["tokenize"].artifact.require().data_files()]
            for done in (first, again)
        ]
        assert tokens[0] == tokens[1]
        assert {row.source for row in first["extract"].crawl} == {"a", "b"}
        storage.delete(f"{tmp_path}/lake")
