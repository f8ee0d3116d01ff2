"""Texts to packed tokens: what a row holds, and where a document is cut."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import GristmillError
from jobs.tokens.encoding import ENCODED, PART_CHARS, cut, dtype_of, encode_batches
from jobs.tokens.vocabulary import bytes_tokenizer, chars_tokenizer, train_bpe

BYTES = bytes_tokenizer().to_str()
BPE = train_bpe(["a bad ball' b a!! é.. a\n\n\nb  ab 55"] * 20, 300).to_str()


def encoded(texts: list[str], tokenizer: str = BYTES, eos: int = 256, tail: float = 0.0) -> Any:
    """The rows that these texts become."""
    batch = pa.RecordBatch.from_pydict(
        {
            "row": pa.array(range(len(texts)), pa.int32()),
            "row_id": pa.array([bytes(16)] * len(texts), pa.binary()),
            "doc_id": pa.array([bytes(16)] * len(texts), pa.binary()),
            "source": ["web"] * len(texts),
            "text": texts,
        }
    )
    (made,) = encode_batches(iter([batch]), tokenizer, eos, tail)
    assert made.schema == ENCODED
    return made.to_pylist()


def ids(row: dict[str, Any]) -> list[int]:
    """The tokens of a row."""
    return np.frombuffer(row["tokens"], "<u2").tolist()


@settings(deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_a_row_holds_the_bytes_of_its_text_and_one_end(texts: list[str]) -> None:
    for number, (row, text) in enumerate(zip(encoded(texts), texts, strict=True)):
        assert ids(row) == ([*text.encode(), 256] if text else [])
        assert (row["row"], row["part"], row["split"]) == (number, 0, None)
        assert (row["n_tokens"], row["n_bytes"]) == (len(ids(row)), len(text.encode()))


@settings(deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.floats(0.01, 0.99))
def test_a_tail_cuts_each_document_and_loses_nothing(texts: list[str], tail: float) -> None:
    whole = encoded(texts)
    rows = encoded(texts, tail=tail)
    for number, row in enumerate(whole):
        parts = [part for part in rows if part["row"] == number]
        assert [token for part in parts for token in ids(part)] == ids(row)
        assert sum(part["n_bytes"] for part in parts) == row["n_bytes"]
        sides = {part["split"]: part["n_tokens"] for part in parts}
        if row["n_tokens"]:
            assert sides.get("train", 0) == int(row["n_tokens"] * (1 - tail))
            assert set(sides) <= {"train", "val"}


@settings(deadline=None)
@given(st.text(st.sampled_from("ab'll \t\n\r\x1c\x855!.é猫\u0301\u3000"), max_size=60))
def test_a_long_text_has_the_tokens_of_its_parts(text: str) -> None:
    (whole,) = encoded([text], BPE, 0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("jobs.tokens.encoding.PART_CHARS", 3)
        assert "".join(cut(text)) == text
        assert encoded([text], BPE, 0) == [whole]


def test_a_long_text_is_given_to_the_library_in_parts() -> None:
    assert max(map(len, cut("some words " * 500_000))) < PART_CHARS + 10


@settings(deadline=None)
@given(st.text(max_size=60))
def test_ids_that_are_looked_up_are_the_librarys(text: str) -> None:
    for tokenizer in (bytes_tokenizer(), train_bpe(["ab"], 257), chars_tokenizer(text or "a")):
        (row,) = encoded([text], tokenizer.to_str(), -1)
        tokenizer.encode_special_tokens = True
        assert ids(row) == tokenizer.encode(text).ids


def test_a_special_token_in_a_text_is_plain_text() -> None:
    (row,) = encoded(["a<|endoftext|>b"])
    assert ids(row) == [*b"a<|endoftext|>b", 256]


def test_a_character_that_the_tokenizer_does_not_know_is_an_error() -> None:
    with pytest.raises(GristmillError, match="only knows the characters of its own documents"):
        encoded(["abz"], chars_tokenizer("ab").to_str(), -1)


def test_ids_are_packed_in_two_bytes_where_they_fit() -> None:
    assert [dtype_of(size) for size in (257, 65536, 65537)] == ["uint16", "uint16", "uint32"]
