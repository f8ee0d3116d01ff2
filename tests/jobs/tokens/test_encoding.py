"""Texts to packed tokens: what a row holds, and where a document is cut."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import GristmillError
from jobs.tokens.encoding import ENCODED, dtype_of, encode_batches
from jobs.tokens.vocabulary import bytes_tokenizer, chars_tokenizer

BYTES = bytes_tokenizer().to_str()


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


def test_a_special_token_in_a_text_is_plain_text() -> None:
    (row,) = encoded(["a<|endoftext|>b"])
    assert ids(row) == [*b"a<|endoftext|>b", 256]


def test_a_character_that_the_tokenizer_does_not_know_is_an_error() -> None:
    with pytest.raises(GristmillError, match="only knows the characters of its own documents"):
        encoded(["abz"], chars_tokenizer("ab").to_str(), -1)


def test_ids_are_packed_in_two_bytes_where_they_fit() -> None:
    assert [dtype_of(size) for size in (257, 65536, 65537)] == ["uint16", "uint16", "uint32"]
