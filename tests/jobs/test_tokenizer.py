"""The tokenizer step: the same tokenizer from the same documents, over any number of shards."""

from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact, Lake
from infra.step import Task
from jobs import filter
from jobs.spark.session import Session
from jobs.tokenizer import STEP, TokenizerParameters, load, run

Make = Callable[..., Artifact]

TEXTS = [
    "the cat sat on the mat\n\nand the dog sat too.",
    "El perro y el gato: ¿qué tal?",
    "猫が座った 123 456",
    "\ttabs and  spaces ",
] * 5


def make(session: Session, lake: Lake, documents: Artifact, **values: Any) -> Task:
    """The finished step over these documents."""
    task = Task(STEP, lake, "test", TokenizerParameters(**values), {"documents": documents})
    run(session, task)
    return task


@pytest.mark.parametrize(
    ("kind", "vocab_size", "eos_id", "used"),
    [("bpe", 300, 0, 20), ("bytes", 257, 256, 0), ("chars", len(set("".join(TEXTS))), -1, 20)],
)
def test_the_step_writes_a_tokenizer_that_the_library_opens(
    session: Session,
    lake: Lake,
    documents_artifact: Make,
    kind: str,
    vocab_size: int,
    eos_id: int,
    used: int,
) -> None:
    documents = documents_artifact(lake, [{"text": text} for text in TEXTS], shards=3)
    task = make(session, lake, documents, type=kind, vocab_size=300)
    tokenizer, config = load(task.artifact)
    assert config == {"type": kind, "vocab_size": vocab_size, "eos_id": eos_id}
    opened = Tokenizer.from_file(task.artifact.file("tokenizer.json"))
    assert opened.get_vocab_size() == vocab_size == tokenizer.get_vocab_size()
    counts = task.artifact.require().counts
    assert (counts.rows_in, counts.rows_out, sum(counts.rejected.values())) == (20, used, 20 - used)
    total = sum(len(text.encode()) for text in TEXTS)
    assert counts.extra == {"sampled_bytes": total if used else 0}


def test_the_sample_is_seeded_and_bounded_and_the_same_over_any_shards(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    rows = [{"text": f"document number {n} has words {n * 7}"} for n in range(200)]
    small = {"vocab_size": 280, "sample_bytes": 2000}
    first = make(session, lake, documents_artifact(lake, rows), **small).artifact.require()
    assert 20 < first.counts.rows_out < 150
    assert first.counts.rejected == {"not_sampled": 200 - first.counts.rows_out}
    assert 1000 < first.counts.extra["sampled_bytes"] < 4000
    spread = documents_artifact(lake, rows, shards=7)
    again = make(session, lake, spread, **small).artifact.require()
    assert (again.content, again.counts) == (first.content, first.counts)
    other = make(session, lake, spread, seed=1, **small).artifact.require()
    assert other.content != first.content


def test_a_sample_smaller_than_any_document_still_has_one(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(lake, [{"text": text} for text in TEXTS[:3]], shards=3)
    task = make(session, lake, documents, vocab_size=260, sample_bytes=1)
    assert task.artifact.require().counts.rows_out == 1


def test_nothing_of_the_sample_is_left(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    task = make(session, lake, documents_artifact(lake, [{"text": t} for t in TEXTS]))
    found = {info.path for info in storage.list_files(task.artifact.uri)}
    assert found == {"_MANIFEST.json", "config.json", "tokenizer.json"}


def test_a_document_that_was_dropped_teaches_nothing(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(lake, [{"text": "ab"}, {"text": "xyz"}])
    rules = filter.FilterParameters(rules={"short": "n_chars < 3"})
    kept = Task(filter.STEP, lake, "test", rules, {"documents": documents})
    filter.run(session, kept)
    tokenizer, _ = load(make(session, lake, kept.artifact, type="chars").artifact)
    assert set(tokenizer.get_vocab()) == {"a", "b"}


def test_documents_without_text_cannot_make_a_tokenizer(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    with pytest.raises(GristmillError, match="no text to learn from"):
        make(session, lake, documents_artifact(lake, [{"text": ""}]))
