"""Deduplication end to end: what is removed, for whom, and that every row is accounted for."""

import json
import lzma
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from infra.errors import GristmillError
from infra.lake import Artifact, Lake
from infra.step import Task
from jobs.dedup import STEP, DedupParameters, run
from jobs.spark.session import Session

Make = Callable[[Lake, Sequence[Mapping[str, Any]]], Artifact]

BASE = [f"word{n}" for n in range(100)]


def changed(*positions: int) -> str:
    """The base text of 100 words with other words at these positions; one inner change costs 5 of
    its 96 shingles."""
    return " ".join(f"other{n}" if n in positions else word for n, word in enumerate(BASE))


def deduplicate(session: Session, lake: Lake, documents: Artifact, **values: Any) -> Task:
    task = Task(STEP, lake, "test", DedupParameters(**values), {"documents": documents})
    run(session, task)
    return task


def rows_of(task: Task, uris: list[str]) -> dict[str, dict[str, Any]]:
    return {row["url"]: row for uri in uris for row in pq.read_table(uri).to_pylist()}


@pytest.fixture(scope="module")
def result(
    session: Session, tmp_path_factory: pytest.TempPathFactory, documents_artifact: Make
) -> tuple[Task, dict[str, Any], dict[str, Any]]:
    """The one run that most tests look at: the task, kept rows and removed rows by URL."""
    lake = Lake.at(str(tmp_path_factory.mktemp("dedup") / "lake"))
    documents = documents_artifact(
        lake,
        [
            {"url": "base", "text": changed() + "  and a little\nmore at the end", "source": "a"},
            {
                "url": "copy",
                "text": changed().upper() + " and a little more at the end",
                "source": "a",
            },
            {"url": "near", "text": changed(50) + "\n", "source": "b"},
            {"url": "near copy", "text": changed(50), "source": "b"},
            {"url": "far", "text": changed(10, 50, 70), "source": "b"},
            {"url": "alone", "text": " ".join(f"lonely{n}" for n in range(80))},
            {"url": "short 1", "text": "Page not found"},
            {"url": "short 2", "text": "page not found"},
            {"url": "short 3", "text": "page not there"},
            {
                "url": "twice",
                "text": "captured twice at two offsets of one file",
                "doc_id": b"t" * 16,
                "warc_offset": 1000,
            },
            {
                "url": "twice",
                "text": "captured twice at two offsets of one file",
                "doc_id": b"t" * 16,
                "warc_offset": 2000,
            },
        ],
    )
    task = deduplicate(session, lake, documents)
    return (
        task,
        rows_of(task, task.artifact.data_uris()),
        rows_of(task, task.artifact.rejected_uris()),
    )


def test_the_longest_text_of_a_cluster_stays_and_names_it(
    result: tuple[Task, dict[str, Any], dict[str, Any]],
) -> None:
    _, kept, removed = result
    assert (
        kept["base"]["dup"]["cluster"]
        == kept["base"]["doc_id"]
        == removed["near"]["dup"]["cluster"]
    )
    assert removed["near"]["reject_reason"] == "near_duplicate"
    assert removed["near"]["dup"]["reason"] == "near"
    assert removed["near"]["dup"]["jaccard"] == pytest.approx(91 / 108)


def test_an_exact_copy_inherits_the_cluster_and_size_of_its_representative(
    result: tuple[Task, dict[str, Any], dict[str, Any]],
) -> None:
    _, kept, removed = result
    both = [(kept | removed)[url] for url in ("base", "copy", "near", "near copy", "far")]
    assert [row["dup"]["size"] for row in both] == [5] * 5
    assert {row["dup"]["cluster"] for row in both} == {kept["base"]["doc_id"]}
    assert [row["reject_reason"] for row in both] == [
        None,
        "exact_duplicate",
        "near_duplicate",
        "exact_duplicate",
        None,
    ]
    assert [removed[url]["dup"]["jaccard"] for url in ("copy", "near copy")] == [
        1,
        removed["near"]["dup"]["jaccard"],
    ]


def test_a_member_that_is_near_to_a_removed_one_only_stays(
    result: tuple[Task, dict[str, Any], dict[str, Any]],
) -> None:
    _, kept, _ = result
    assert kept["far"]["dup"]["reason"] is None
    assert kept["far"]["reject_reason"] is None


def test_texts_under_five_words_are_only_exact_duplicates(
    result: tuple[Task, dict[str, Any], dict[str, Any]],
) -> None:
    _, kept, removed = result
    assert {url for url in kept if url.startswith("short")} in (
        {"short 1", "short 3"},
        {"short 2", "short 3"},
    )
    assert sum(url.startswith("short") for url in removed) == 1


def test_a_unique_document_is_its_own_cluster(
    result: tuple[Task, dict[str, Any], dict[str, Any]],
) -> None:
    _, kept, _ = result
    assert kept["alone"]["dup"] == {
        "cluster": kept["alone"]["doc_id"],
        "size": 1,
        "jaccard": None,
        "reason": None,
    }


def test_a_page_captured_twice_is_kept_once(
    result: tuple[Task, dict[str, Any], dict[str, Any]],
) -> None:
    task, kept, removed = result
    assert kept["twice"]["warc_offset"] == 1000
    assert removed["twice"]["warc_offset"] == 2000
    counts = task.artifact.require().counts
    assert (counts.rows_in, counts.rows_out, counts.rejected) == (
        11,
        6,
        {"exact_duplicate": 4, "near_duplicate": 1},
    )


def test_a_bucket_over_the_cap_is_counted_and_compared_with_its_best(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(lake, [{"text": changed() + " tail" * n} for n in range(6)])
    task = deduplicate(session, lake, documents, bucket_cap=3)
    manifest = task.artifact.require()
    assert manifest.details["capped_buckets"] > 0
    assert manifest.details["largest_bucket"] == 6
    assert manifest.counts.rows_out == 1


def test_a_source_that_loses_more_than_its_limit_fails_the_step(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    rows = [{"text": "the same text on every page", "source": "wiki"} for _ in range(4)]
    with pytest.raises(GristmillError, match="source 'wiki' loses 3 of 4 documents"):
        deduplicate(
            session,
            lake,
            documents_artifact(lake, rows),
            max_source_loss=0.5,
            min_source_documents=4,
        )
    assert lake.artifacts("dedup") == []


def test_documents_without_any_duplicate_pass_unchanged(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    task = deduplicate(session, lake, documents_artifact(lake, [{"text": "one"}, {"text": "two"}]))
    assert task.artifact.require().counts.rejected == {}
    assert len(rows_of(task, task.artifact.data_uris())) == 2


def test_real_pages_agree_with_the_exhaustive_comparison(
    session: Session, lake: Lake, shared: Path, tmp_path: Path, documents_artifact: Make
) -> None:
    truth = shared / "data/neardup/exact-jaccard"
    with lzma.open(truth / "dev-small.docs.jsonl.xz", "rt") as stream:
        pages = [json.loads(line) for line in stream]
    documents = documents_artifact(
        lake,
        [{"url": page["url"], "text": page["text"], "warc_offset": page["id"]} for page in pages],
    )
    task = deduplicate(session, lake, documents)
    scorer = [sys.executable, str(shared / "accept/score_dedup.py"), task.artifact.uri]
    files = [str(truth / "dev-small.docs.jsonl.xz"), str(truth / "dev-small.pairs.tsv")]
    scored = subprocess.run(
        [*scorer, *files, "--min-recall", "0.99", "--max-false", "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert scored.returncode == 0, scored.stdout + scored.stderr
    assert "sharp 1.0000 left 0 false removals 0 lost 0" in scored.stdout
