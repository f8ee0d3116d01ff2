"""Deduplication end to end: what is removed, for whom, and that every row is accounted for."""

import json
import lzma
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from infra.errors import GristmillError
from infra.lake import Artifact, Lake
from infra.lake.rows import read_rows
from infra.manifest import Counts
from infra.step import Task
from jobs.dedup import STEP, DedupParameters, maps, run
from jobs.spark.session import Session

Make = Callable[..., Artifact]

BASE = [f"word{n}" for n in range(100)]


def changed(*positions: int) -> str:
    """The base text of 100 words with other words at these positions; one inner change costs 5 of
    its 96 shingles."""
    return " ".join(f"other{n}" if n in positions else word for n, word in enumerate(BASE))


def deduplicate(session: Session, lake: Lake, documents: Artifact, **values: Any) -> Task:
    """The finished step over these documents."""
    task = Task(STEP, lake, "test", DedupParameters(**values), {"documents": documents})
    run(Session(session.spark, lake.root), task)
    return task


def own_rows(task: Task, *, rejected: bool) -> list[dict[str, Any]]:
    """The rows of the step's own files."""
    files = task.artifact.require().files
    paths = [f.path for f in files if f.is_rejected == rejected]
    own = [path for path in paths if path.startswith(task.artifact.path)]
    return [row for path in own for row in pq.read_table(task.artifact.at_root(path)).to_pylist()]


def by_url(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows by URL."""
    return {row["url"]: row for row in rows}


def texts_left(task: Task) -> list[str]:
    """The texts that a later step reads."""
    return [
        text
        for stack in task.artifact.stacks()
        for batch in read_rows(task.lake.root, stack, ["text"])
        for text in batch.column("text").to_pylist()
    ]


Rows = dict[str, dict[str, Any]]


class Wide(Session):
    """The session as if it had so many cores: it plans as many partitions."""

    def __init__(self, session: Session, lake: Lake, cores: int) -> None:
        super().__init__(session.spark, lake.root)
        self._cores = cores

    @property
    def cores(self) -> int:
        """What the test says."""
        return self._cores


ROWS: list[dict[str, Any]] = [
    {"url": "base", "text": changed() + "  and a little\nmore at the end", "source": "a"},
    {"url": "copy", "text": changed().upper() + " and a little more at the end", "source": "a"},
    {"url": "near", "text": changed(50) + "\n", "source": "b"},
    {"url": "near copy", "text": changed(50), "source": "b"},
    {"url": "far", "text": changed(10, 50, 70), "source": "b"},
    {"url": "alone", "text": " ".join(f"lonely{n}" for n in range(80))},
    {"url": "short 1", "text": "Page not found"},
    {"url": "short 2", "text": "page not found"},
    {"url": "short 3", "text": "page not there"},
    {"url": "twice", "text": "captured twice at two places of one file", "doc_id": b"t" * 16},
    {"url": "twice", "text": "captured twice at two places of one file", "doc_id": b"t" * 16},
]


@pytest.fixture(scope="module")
def result(
    spark: Session, tmp_path_factory: pytest.TempPathFactory, documents_artifact: Make
) -> Task:
    """The one run that most tests look at, over three shards."""
    lake = Lake.at(str(tmp_path_factory.mktemp("dedup") / "lake"))
    return deduplicate(spark, lake, documents_artifact(lake, ROWS, shards=3))


@pytest.fixture(scope="module")
def kept(result: Task) -> dict[str, dict[str, Any]]:
    """Kept rows by URL."""
    return by_url(own_rows(result, rejected=False))


@pytest.fixture(scope="module")
def removed(result: Task) -> dict[str, dict[str, Any]]:
    """Removed rows by URL."""
    return by_url(own_rows(result, rejected=True))


def test_a_corpus_without_a_document_is_counted_like_any_other(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    task = deduplicate(session, lake, documents_artifact(lake, []))
    assert task.artifact.require().counts == Counts(extra={"bytes_text": 0})


def test_the_longest_text_of_a_cluster_stays_and_names_it(kept: Rows, removed: Rows) -> None:
    best = kept["base"]
    assert best["dup"]["cluster"] == best["doc_id"] == removed["near"]["dup"]["cluster"]
    assert removed["near"]["reject_reason"] == "near_duplicate"
    assert removed["near"]["dup"]["reason"] == "near"
    assert removed["near"]["dup"]["jaccard"] == pytest.approx(91 / 108)


def test_an_exact_copy_inherits_the_cluster_and_size_of_its_representative(
    kept: Rows, removed: Rows
) -> None:
    both = [(kept | removed)[url] for url in ("base", "copy", "near", "near copy", "far")]
    assert [row["dup"]["size"] for row in both] == [5] * 5
    assert {row["dup"]["cluster"] for row in both} == {kept["base"]["doc_id"]}
    assert [row.get("reject_reason") for row in both] == [
        None,
        "exact_duplicate",
        "near_duplicate",
        "exact_duplicate",
        None,
    ]
    near = removed["near"]["dup"]["jaccard"]
    assert [removed[url]["dup"]["jaccard"] for url in ("copy", "near copy")] == [1, near]


def test_a_member_that_is_near_to_a_removed_one_only_stays(kept: Rows) -> None:
    assert kept["far"]["dup"]["reason"] is None
    assert kept["far"]["dup"]["jaccard"] is None


def test_texts_under_five_words_are_only_exact_duplicates(kept: Rows, removed: Rows) -> None:
    short = {url for url in kept if url.startswith("short")}
    assert short in ({"short 1", "short 3"}, {"short 2", "short 3"})
    assert sum(url.startswith("short") for url in removed) == 1


def test_a_unique_document_is_its_own_cluster(kept: Rows) -> None:
    own = {"cluster": kept["alone"]["doc_id"], "size": 1, "jaccard": None, "reason": None}
    assert kept["alone"]["dup"] == own


def test_a_page_captured_twice_is_kept_once(kept: Rows, removed: Rows) -> None:
    places = [(row["shard"], row["row"]) for row in (kept["twice"], removed["twice"])]
    assert places == [(2, 2), (2, 3)]
    assert removed["twice"]["reject_reason"] == "exact_duplicate"


def test_the_counts_add_up(result: Task, kept: Rows) -> None:
    counts = result.artifact.require().counts
    assert (counts.rows_in, counts.rows_out) == (11, 6)
    assert counts.rejected == {"exact_duplicate": 4, "near_duplicate": 1}
    text = {row["url"]: row["text"] for row in ROWS}
    assert counts.extra == {"bytes_text": sum(len(text[url]) for url in kept)}


def test_the_own_files_list_where_each_row_is_and_hold_no_text(result: Task) -> None:
    manifest = result.artifact.require()
    own = [f.path for f in manifest.files if f.path.startswith(result.artifact.path)]
    for path in own:
        names = pq.ParquetFile(result.artifact.at_root(path)).schema_arrow.names
        reason = ["reject_reason"] if "/_rejected/" in path else []
        assert names == ["shard", "row", "row_id", "doc_id", "url", "dup", *reason]
    names = [column["name"] for column in manifest.schema]
    assert {"text", "dup"} <= set(names)
    assert not {"shard", "row", "reject_reason"} & set(names)


def test_a_later_step_reads_the_kept_rows_with_their_text(result: Task, kept: Rows) -> None:
    text = {row["url"]: row["text"] for row in ROWS}
    assert sorted(texts_left(result)) == sorted(text[url] for url in kept)


def outcome(task: Task) -> dict[bytes, tuple[Any, ...]]:
    """What became of each document: doc_id -> dup."""
    rows = [*own_rows(task, rejected=False), *own_rows(task, rejected=True)]
    return {row["doc_id"]: tuple(row["dup"].values()) for row in rows}


def crowd(seed: int) -> list[dict[str, Any]]:
    """80 documents in clusters of a few near-duplicates and copies, in a seeded order."""
    draw = random.Random(seed)
    rows = []
    for number in range(80):
        words = [f"w{number % 16}x{n}" for n in range(60 + number % 16)]
        for _ in range(draw.choice([0, 0, 1, 2])):
            words[draw.randrange(len(words))] = f"changed{draw.randrange(10**6)}"
        rows.append({"url": f"https://example.org/{number}", "text": " ".join(words)})
    draw.shuffle(rows)
    return rows


@pytest.fixture(scope="module")
def plain(
    spark: Session, tmp_path_factory: pytest.TempPathFactory, documents_artifact: Make
) -> Task:
    """The crowd over nine shards."""
    lake = Lake.at(str(tmp_path_factory.mktemp("plain") / "lake"))
    return deduplicate(spark, lake, documents_artifact(lake, crowd(0), shards=9))


def test_the_result_does_not_depend_on_shards_or_the_order_of_rows(
    session: Session, lake: Lake, documents_artifact: Make, plain: Task
) -> None:
    documents = documents_artifact(lake, list(reversed(crowd(0))), shards=30)
    found = outcome(deduplicate(session, lake, documents))
    assert found == outcome(plain)
    assert len(found) == 80
    assert sum(reason is not None for *_, reason in found.values()) > 20


def test_the_files_are_the_same_whatever_the_cores(
    session: Session, lake: Lake, documents_artifact: Make, plain: Task
) -> None:
    documents = documents_artifact(lake, crowd(0), shards=9)
    task = Task(STEP, lake, "test", DedupParameters(), {"documents": documents})
    manifest = run(Wide(session, lake, 7), task)
    assert manifest.content == plain.artifact.require().content


def test_a_duplicate_in_another_shard_is_found(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    rows = [{"url": "a", "text": changed() + " tail"}, {"url": "b", "text": changed(50)}]
    task = deduplicate(session, lake, documents_artifact(lake, rows, shards=2))
    (row,) = own_rows(task, rejected=True)
    assert (row["url"], row["shard"], row["row"]) == ("b", 1, 0)
    assert texts_left(task) == [changed() + " tail"]


def test_the_threshold_decides(session: Session, lake: Lake, documents_artifact: Make) -> None:
    documents = documents_artifact(lake, [{"text": changed()}, {"text": changed(50)}])
    similarity = 91 / 101
    below = deduplicate(session, lake, documents, threshold=similarity)
    above = deduplicate(session, lake, documents, threshold=similarity + 1e-6)
    assert [t.artifact.require().counts.rows_out for t in (below, above)] == [1, 2]


def test_signatures_are_made_once_for_any_threshold_and_cap(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(lake, crowd(2)[:20], shards=2)
    folder = Path(lake.root, "shards", "signatures")
    stamps = []
    for values in ({}, {"threshold": 0.5, "bucket_cap": 2, "max_source_loss": 1.0}):
        deduplicate(session, lake, documents, **values)
        stamps.append({path.name: path.stat().st_mtime_ns for path in folder.rglob("*.*")})
    assert stamps[0] == stamps[1]
    assert len(stamps[0]) == 4  # of each shard the file and its note


@pytest.mark.parametrize("changed", ["shingle_words", "bands", "rows", "seed"])
def test_what_changes_a_signature_makes_it_again(lake: Lake, changed: str) -> None:
    documents = Artifact(lake.root, "documents", "test", "0" * 64)
    names = []
    for values in ({}, {changed: 7}):
        task = Task(STEP, lake, "test", DedupParameters(**values), {"documents": documents})
        names.append(maps(task)[0].shard_name(["extract/ab"]))
    assert names[0] != names[1]


def test_a_bucket_over_the_cap_is_counted_and_compared_with_its_best(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    rows = [{"text": changed() + " tail" * n} for n in range(6)]
    task = deduplicate(session, lake, documents_artifact(lake, rows, shards=2), bucket_cap=3)
    manifest = task.artifact.require()
    assert manifest.details["capped_buckets"] > 0
    assert manifest.details["largest_bucket"] == 6
    assert manifest.counts.rows_out == 1


def test_a_source_that_loses_more_than_its_limit_fails_the_step_and_the_next_try_may_run(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    rows = [{"text": "the same text on every page", "source": "wiki"} for _ in range(4)]
    documents = documents_artifact(lake, rows, shards=2)
    limits = {"max_source_loss": 0.5, "min_source_documents": 4}
    for _ in range(2):  # the first try must let go of the artifact
        with pytest.raises(GristmillError, match="source 'wiki' loses 3 of 4 documents"):
            deduplicate(session, lake, documents, **limits)
    assert lake.artifacts("dedup") == []


@pytest.mark.parametrize("shards", [1, 2])
def test_documents_without_any_duplicate_pass_unchanged(
    session: Session, lake: Lake, documents_artifact: Make, shards: int
) -> None:
    rows = [{"text": "one"}, {"text": "two"}]
    task = deduplicate(session, lake, documents_artifact(lake, rows, shards=shards))
    assert task.artifact.require().counts.rejected == {}
    assert sorted(texts_left(task)) == ["one", "two"]


def test_no_documents_are_no_duplicates(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    task = deduplicate(session, lake, documents_artifact(lake, [], shards=2))
    counts = task.artifact.require().counts
    assert (counts.rows_in, counts.rows_out, counts.rejected) == (0, 0, {})
    assert texts_left(task) == []


def test_what_an_earlier_deduplication_removed_is_not_looked_at_again(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    rows = [{"text": changed() + " tail"}, {"text": changed(50)}, {"text": changed(20, 50, 70)}]
    first = deduplicate(session, lake, documents_artifact(lake, rows, shards=2), threshold=0.85)
    left = first.artifact.require().counts.rows_out
    second = deduplicate(session, lake, first.artifact, threshold=0.6)
    counts = second.artifact.require().counts
    assert (left, counts.rows_in, counts.rows_out) == (2, 2, 1)
    assert texts_left(second) == [changed() + " tail"]


def test_real_pages_agree_with_the_exhaustive_comparison(
    session: Session, lake: Lake, shared: Path, documents_artifact: Make
) -> None:
    truth = shared / "data/neardup/exact-jaccard"
    with lzma.open(truth / "dev-small.docs.jsonl.xz", "rt") as stream:
        pages = [json.loads(line) for line in stream]
    rows = [{"url": page["url"], "text": page["text"], "warc_offset": page["id"]} for page in pages]
    task = deduplicate(session, lake, documents_artifact(lake, rows, shards=4))
    scorer = [sys.executable, str(shared / "accept/score_dedup.py"), task.artifact.uri]
    files = [str(truth / "dev-small.docs.jsonl.xz"), str(truth / "dev-small.pairs.tsv")]
    limits = ["--min-recall", "0.99", "--max-false", "0"]
    scored = subprocess.run([*scorer, *files, *limits], capture_output=True, text=True, check=False)
    assert scored.returncode == 0, scored.stdout + scored.stderr
    assert "sharp 1.0000 left 0 false removals 0 lost 0" in scored.stdout
