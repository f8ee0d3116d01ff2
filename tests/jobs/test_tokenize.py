"""Token files: order, splits, packing and counts; what is not encoded twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from infra.errors import GristmillError
from infra.lake import Artifact, Lake
from infra.step import Task
from jobs import dedup, filter
from jobs import tokenizer as tokenizer_step
from jobs.spark.session import Session
from jobs.tokenize import STEP, TokenizeParameters, run

Make = Callable[..., Artifact]

TEXTS = [f"Document {n} says {'very ' * (n % 13)}little about {n * n}." for n in range(120)]


def tokenizer_of(
    session: Session, lake: Lake, documents: Artifact, kind: str = "bytes"
) -> Artifact:
    """The finished tokenizer of these documents."""
    parameters = tokenizer_step.TokenizerParameters(type=kind)  # type: ignore[arg-type]
    task = Task(tokenizer_step.STEP, lake, "test", parameters, {"documents": documents})
    if task.artifact.manifest() is None:
        tokenizer_step.run(Session(session.spark, lake.root), task)
    return task.artifact


def tokens(
    session: Session, lake: Lake, documents: Artifact, kind: str = "bytes", **values: Any
) -> Task:
    """The finished step over these documents."""
    inputs = {"documents": documents, "tokenizer": tokenizer_of(session, lake, documents, kind)}
    task = Task(STEP, lake, "test", TokenizeParameters(**values), inputs)
    run(Session(session.spark, lake.root), task)
    return task


def rows_of(task: Task, split: str) -> list[dict[str, Any]]:
    """The rows of a split in their order."""
    files = task.artifact.require().details["splits"][split]["files"]
    return [
        row for file in files for row in pq.read_table(task.artifact.file(file["path"])).to_pylist()
    ]


@pytest.fixture(scope="module")
def made(
    spark: Session, tmp_path_factory: pytest.TempPathFactory, documents_artifact: Make
) -> tuple[Lake, Artifact, Task]:
    """120 documents of three shards as bytes in small files: lake, documents, task."""
    lake = Lake.at(str(tmp_path_factory.mktemp("tokens") / "lake"))
    documents = documents_artifact(lake, [{"text": text} for text in TEXTS], shards=3)
    small = {"file_tokens": 2000, "row_group_tokens": 700}
    return lake, documents, tokens(spark, lake, documents, val_fraction=0.2, **small)


def test_every_document_is_there_once_and_decodes_to_its_text_and_an_end(
    made: tuple[Lake, Artifact, Task],
) -> None:
    task = made[2]
    found = []
    for split in ("train", "val"):
        for row in rows_of(task, split):
            ids = np.frombuffer(row["tokens"], "<u2")
            assert row["split"] == split
            assert ids[-1] == 256
            assert len(ids) == row["n_tokens"] == row["n_bytes"] + 1
            found.append(bytes(ids[:-1].tolist()).decode())
    assert sorted(found) == sorted(TEXTS)


def test_the_manifest_counts_what_the_files_hold(made: tuple[Lake, Artifact, Task]) -> None:
    manifest = made[2].artifact.require()
    details = manifest.details
    assert (manifest.counts.rows_in, manifest.counts.rows_out, manifest.counts.rejected) == (
        120,
        120,
        {},
    )
    assert (
        details["dtype"],
        details["vocab_size"],
        details["eos_id"],
        details["tokenizer_type"],
    ) == ("uint16", 257, 256, "bytes")
    for split, part in details["splits"].items():
        rows = rows_of(made[2], split)
        assert part["documents"] == len(rows) > 0
        assert part["bytes"] == sum(row["n_bytes"] for row in rows)
        assert (
            part["tokens"]
            == sum(row["n_tokens"] for row in rows)
            == manifest.counts.extra[f"tokens_{split}"]
        )
        assert part["tokens"] == sum(sum(file["row_groups"]) for file in part["files"])
    assert len(details["splits"]["train"]["files"]) > 1
    assert all(len(file["row_groups"]) > 1 for file in details["splits"]["train"]["files"])


def test_a_row_group_reads_as_one_array_the_way_the_docstring_says(
    made: tuple[Lake, Artifact, Task],
) -> None:
    details = made[2].artifact.require().details
    for file in details["splits"]["train"]["files"]:
        path = made[2].artifact.file(file["path"])
        for i, expected in enumerate(file["row_groups"]):
            column = (
                pq.ParquetFile(path)
                .read_row_group(i, columns=["tokens"])["tokens"]
                .combine_chunks()
            )
            ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
            ids = np.frombuffer(column.buffers()[2], np.uint8)[ends[0] : ends[-1]].view(
                details["dtype"]
            )
            assert len(ids) == expected
            assert ids.tobytes() == b"".join(column.to_pylist())


def test_row_groups_hold_about_as_many_tokens_as_asked_for(
    made: tuple[Lake, Artifact, Task],
) -> None:
    longest = max(len(text) + 1 for text in TEXTS)
    for part in made[2].artifact.require().details["splits"].values():
        for file in part["files"]:
            *full, last = file["row_groups"]
            assert all(700 <= tokens < 700 + longest for tokens in full)
            assert 0 < last < 700 + longest


def test_the_order_is_seeded_global_and_independent_of_files_and_shards(
    spark: Session, made: tuple[Lake, Artifact, Task], documents_artifact: Make
) -> None:
    lake, documents, task = made
    order = [row["doc_id"] for row in rows_of(task, "train")]
    one_file = tokens(spark, lake, documents, val_fraction=0.2)
    assert [row["doc_id"] for row in rows_of(one_file, "train")] == order
    other = tokens(spark, lake, documents, val_fraction=0.2, seed=1)
    assert [row["doc_id"] for row in rows_of(other, "train")] != order
    rows = [{"text": t, "url": f"https://example.org/{n}"} for n, t in enumerate(TEXTS)]
    backwards = documents_artifact(lake, rows[::-1], shards=11)
    again = tokens(spark, lake, backwards, val_fraction=0.2)
    assert [row["doc_id"] for row in rows_of(again, "train")] == order


def test_texts_are_encoded_once_for_any_seed_and_share(
    spark: Session, made: tuple[Lake, Artifact, Task]
) -> None:
    lake, documents, _ = made
    folder = Path(lake.root, "shards", "encoded")
    before = {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    shares = []
    for values in ({"seed": 5, "val_fraction": 0.1}, {"val_fraction": 0.5}):
        manifest = tokens(spark, lake, documents, **values).artifact.require()
        shares.append(manifest.details["splits"]["val"]["documents"])
    after = {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    assert after.items() >= before.items()  # other tests may add to the lake
    listed = [f.path for f in manifest.files if f.path.startswith("shards/encoded/")]
    assert {Path(path).name for path in listed} <= before.keys()
    assert 0 < shares[0] < 30 < shares[1] < 90


def test_tokens_of_removed_duplicates_are_left_out(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    rows = [{"text": text} for text in (*TEXTS[:10], *(text.upper() for text in TEXTS[:4]))]
    documents = documents_artifact(lake, rows, shards=4)
    whole = tokens(session, lake, documents).artifact.require()
    task = Task(dedup.STEP, lake, "test", dedup.DedupParameters(), {"documents": documents})
    dedup.run(session, task)
    done = tokens(session, lake, task.artifact)
    manifest = done.artifact.require()
    left = [row for split in ("train", "val") for row in rows_of(done, split)]
    found = [bytes(np.frombuffer(row["tokens"], "<u2")[:-1].tolist()).decode() for row in left]
    assert sorted(text.lower() for text in found) == sorted(text.lower() for text in TEXTS[:10])
    assert (whole.counts.rows_out, manifest.counts.rows_in, manifest.counts.rows_out) == (
        14,
        10,
        10,
    )
    encoded = [
        {f.path for f in m.files if f.path.startswith("shards/encoded/")} for m in (whole, manifest)
    ]
    assert encoded[0] == encoded[1]


def test_what_a_filter_dropped_is_left_out(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(lake, [{"text": text} for text in TEXTS[:20]], shards=3)
    rules = filter.FilterParameters(rules={"long": "word_count > 8"})
    kept = Task(filter.STEP, lake, "test", rules, {"documents": documents})
    expected = filter.run(session, kept).counts.rows_out
    manifest = tokens(session, lake, kept.artifact).artifact.require()
    assert (manifest.counts.rows_in, manifest.counts.rows_out) == (expected, expected)
    assert 0 < expected < 20


def test_documents_without_a_token_are_rejected_by_name(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    rows = [{"text": ""}, {"text": "a"}, {"text": "b"}, {"text": "c"}, {"text": ""}, {"text": ""}]
    task = tokens(session, lake, documents_artifact(lake, rows, shards=3), val_fraction=0.01)
    manifest = task.artifact.require()
    counts = manifest.counts
    assert (counts.rows_in, counts.rows_out, counts.rejected) == (6, 3, {"no_tokens": 3})
    paths = [entry.path for entry in manifest.files if entry.is_rejected]
    found = [row for p in paths for row in pq.read_table(task.artifact.at_root(p)).to_pylist()]
    assert [(row["shard"], row["row"]) for row in found] == [(0, 0), (2, 0), (2, 1)]
    assert {row["reject_reason"] for row in found} == {"no_tokens"}
    folder = Path(task.artifact.uri, "_rejected")
    assert {path.name for path in folder.rglob("*.parquet")} == {Path(path).name for path in paths}


def test_a_tiny_corpus_still_has_one_document_to_validate_on(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    task = tokens(
        session,
        lake,
        documents_artifact(lake, [{"text": text} for text in TEXTS[:3]]),
        val_fraction=0.0001,
    )
    assert task.artifact.require().details["splits"]["val"]["documents"] == 1


def test_one_document_alone_cannot_be_split_by_document(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    with pytest.raises(GristmillError, match="split_by tail"):
        tokens(session, lake, documents_artifact(lake, [{"text": "alone"}]))


def test_the_tail_split_cuts_each_document_and_counts_it_once(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(lake, [{"text": "0123456789" * 10 + "é"}, {"text": ""}])
    task = tokens(session, lake, documents, "chars", split_by="tail", val_fraction=0.1)
    manifest = task.artifact.require()
    (train,), (val,) = rows_of(task, "train"), rows_of(task, "val")
    assert (train["n_tokens"], val["n_tokens"]) == (int(101 * 0.9), 101 - int(101 * 0.9))
    assert (train["n_bytes"], val["n_bytes"]) == (90, 12)
    assert (manifest.counts.rows_in, manifest.counts.rows_out, manifest.counts.rejected) == (
        2,
        1,
        {"no_tokens": 1},
    )
    assert manifest.details["rows"] == 2
    tokenizer = Tokenizer.from_file(task.inputs["tokenizer"].file("tokenizer.json"))
    assert (
        tokenizer.decode(np.frombuffer(train["tokens"] + val["tokens"], "<u2").tolist())
        == "0123456789" * 10 + "é"
    )
