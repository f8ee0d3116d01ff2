"""The three tokenizers give any text back, and the step makes the same one from the same
documents."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact, Lake
from infra.step import Task
from jobs.spark.session import Session
from jobs.tokenizer import STEP, TokenizerParameters, load, run
from jobs.tokens.vocabulary import (
    bytes_tokenizer,
    chars_tokenizer,
    end_of_text,
    token_bytes,
    train_bpe,
)

Make = Callable[[Lake, Sequence[Mapping[str, Any]]], Artifact]

TEXTS = [
    "the cat sat on the mat\n\nand the dog sat too.",
    "El perro y el gato: ¿qué tal?",
    "猫が座った 123 456",
    "\ttabs and  spaces ",
] * 5
ALPHABET = "ab c\n\r\t é猫🎉<|>\u0301\u00a0"


def reopened(tokenizer: Tokenizer) -> Tokenizer:
    again = Tokenizer.from_str(tokenizer.to_str())
    again.encode_special_tokens = True
    return again


BPE = reopened(train_bpe(TEXTS, 400))
BYTES = reopened(bytes_tokenizer())
CHARS = reopened(chars_tokenizer(ALPHABET))


@settings(deadline=None)
@given(
    st.text(max_size=80)
    | st.text(ALPHABET, max_size=80)
    | st.sampled_from(["<|endoftext|>", "a<|endoftext|> b"])
)
def test_byte_level_tokenizers_give_every_text_back(text: str) -> None:
    for tokenizer in (BPE, BYTES):
        ids = tokenizer.encode(text).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
        assert end_of_text(tokenizer) not in ids
        assert sum(token_bytes(tokenizer)[i] for i in ids) == len(text.encode())


@given(st.text(ALPHABET, max_size=80))
def test_the_character_tokenizer_gives_texts_of_its_characters_back(text: str) -> None:
    ids = CHARS.encode(text).ids
    assert len(ids) == len(text)
    assert CHARS.decode(ids) == text
    assert ids == [sorted(set(ALPHABET)).index(character) for character in text]


@given(st.text(max_size=40))
def test_the_ids_of_the_byte_tokenizer_are_the_bytes(text: str) -> None:
    assert BYTES.encode(text).ids == list(text.encode())


def test_training_depends_on_the_texts_and_not_on_their_order() -> None:
    assert train_bpe(TEXTS, 400).to_str() == train_bpe(list(reversed(TEXTS)), 400).to_str()


def test_no_token_holds_more_than_two_digits_or_crosses_a_word() -> None:
    trained = train_bpe(["12345678 in the in the"] * 50, 400)
    assert all(
        sum(c.isdigit() for c in token) <= 2 and "Ġ" not in token[1:]
        for token in trained.get_vocab()
    )


def make(session: Session, lake: Lake, documents: Artifact, **values: Any) -> Task:
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
    task = make(
        session,
        lake,
        documents_artifact(lake, [{"text": text} for text in TEXTS]),
        type=kind,
        vocab_size=300,
    )
    tokenizer, config = load(task.artifact)
    assert config == {"type": kind, "vocab_size": vocab_size, "eos_id": eos_id}
    assert (
        Tokenizer.from_file(task.artifact.file("tokenizer.json")).get_vocab_size()
        == vocab_size
        == tokenizer.get_vocab_size()
    )
    counts = task.artifact.require().counts
    assert (counts.rows_in, counts.rows_out, sum(counts.rejected.values())) == (20, used, 20 - used)


def test_the_sample_is_seeded_bounded_and_reproducible(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(
        lake, [{"text": f"document number {n} has words {n * 7}"} for n in range(200)]
    )
    small = {"vocab_size": 280, "sample_bytes": 2000}
    first = make(session, lake, documents, **small)
    contents = first.artifact.require().content
    assert 0 < first.artifact.require().counts.rows_out < 150
    storage.delete(first.artifact.uri)
    assert make(session, lake, documents, **small).artifact.require().content == contents
    assert make(session, lake, documents, seed=1, **small).artifact.require().counts.extra != {}


def test_a_sample_smaller_than_any_document_still_has_one(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(lake, [{"text": text} for text in TEXTS[:3]])
    assert (
        make(session, lake, documents, vocab_size=260, sample_bytes=1)
        .artifact.require()
        .counts.rows_out
        == 1
    )


def test_documents_without_text_cannot_make_a_tokenizer(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    with pytest.raises(GristmillError, match="no text to learn from"):
        make(session, lake, documents_artifact(lake, [{"text": ""}]))
