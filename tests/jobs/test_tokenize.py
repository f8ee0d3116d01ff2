"""Token files: order, splits, packing and counts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from infra.errors import GristmillError
from infra.lake import Artifact, Lake
from infra.step import Task
from jobs import tokenizer as tokenizer_step
from jobs.spark.session import Session
from jobs.tokenize import STEP, TokenizeParameters, run
from jobs.tokens.encoding import dtype_of, encode_batches
from jobs.tokens.vocabulary import bytes_tokenizer, chars_tokenizer

Make = Callable[[Lake, Sequence[Mapping[str, Any]]], Artifact]

TEXTS = [f"Document {n} says {'very ' * (n % 13)}little about {n * n}." for n in range(120)]


def tokenizer_of(
    session: Session, lake: Lake, documents: Artifact, kind: str = "bytes"
) -> Artifact:
    parameters = tokenizer_step.TokenizerParameters(type=kind, vocab_size=300)  # type: ignore[arg-type]
    task = Task(tokenizer_step.STEP, lake, "test", parameters, {"documents": documents})
    if task.artifact.manifest() is None:
        tokenizer_step.run(session, task)
    return task.artifact


def tokens(
    session: Session, lake: Lake, documents: Artifact, kind: str = "bytes", **values: Any
) -> Task:
    inputs = {"documents": documents, "tokenizer": tokenizer_of(session, lake, documents, kind)}
    task = Task(STEP, lake, "test", TokenizeParameters(**values), inputs)
    run(session, task)
    return task


def rows_of(task: Task, split: str) -> list[dict[str, Any]]:
    files = task.artifact.require().details["splits"][split]["files"]
    return [
        row for file in files for row in pq.read_table(task.artifact.file(file["path"])).to_pylist()
    ]


@pytest.fixture(scope="module")
def made(
    session: Session, tmp_path_factory: pytest.TempPathFactory, documents_artifact: Make
) -> tuple[Lake, Artifact, Task]:
    """120 documents as bytes in small files: lake, documents, task."""
    lake = Lake.at(str(tmp_path_factory.mktemp("tokens") / "lake"))
    documents = documents_artifact(lake, [{"text": text} for text in TEXTS])
    return (
        lake,
        documents,
        tokens(session, lake, documents, val_fraction=0.2, file_tokens=2000, row_group_tokens=700),
    )


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


def test_the_order_is_seeded_global_and_independent_of_the_file_sizes(
    session: Session, made: tuple[Lake, Artifact, Task], documents_artifact: Make
) -> None:
    lake, documents, task = made
    order = [row["doc_id"] for row in rows_of(task, "train")]
    one_file = tokens(session, lake, documents, val_fraction=0.2)
    assert [row["doc_id"] for row in rows_of(one_file, "train")] == order
    other = tokens(session, lake, documents, val_fraction=0.2, seed=1)
    assert [row["doc_id"] for row in rows_of(other, "train")] != order
    backwards = documents_artifact(
        lake,
        [
            {"text": t, "url": f"https://example.org/{n}"}
            for n, t in reversed(list(enumerate(TEXTS)))
        ],
    )
    assert [
        row["doc_id"]
        for row in rows_of(tokens(session, lake, backwards, val_fraction=0.2), "train")
    ] == order


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


def test_a_special_token_in_a_text_is_plain_text() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "doc_id": [b"1"],
            "source": ["s"],
            "warc_file": ["w"],
            "warc_offset": [1],
            "text": ["a<|endoftext|>b"],
        },
    )
    (encoded,) = encode_batches(iter([batch]), bytes_tokenizer().to_str(), 256, 0.0)
    assert np.frombuffer(encoded.column("tokens")[0].as_py(), "<u2").tolist() == [
        *b"a<|endoftext|>b",
        256,
    ]


def test_a_character_that_the_tokenizer_does_not_know_is_an_error() -> None:
    batch = pa.RecordBatch.from_pydict(
        {"doc_id": [b"1"], "source": ["s"], "warc_file": ["w"], "warc_offset": [1], "text": ["abz"]}
    )
    with pytest.raises(GristmillError, match="only knows the characters of its own documents"):
        list(encode_batches(iter([batch]), chars_tokenizer("ab").to_str(), -1, 0.0))


def test_ids_are_packed_in_two_bytes_where_they_fit() -> None:
    assert [dtype_of(size) for size in (257, 65536, 65537)] == ["uint16", "uint16", "uint32"]
