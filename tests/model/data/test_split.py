"""A split is read as it was written, and refused where it is not what the manifest says."""

import numpy as np
import pyarrow as pa
import pytest

from infra.errors import GristmillError
from infra.lake.tokens import unpacked
from model.data.split import TokenSplit
from tests.model.artifacts import Tokens
from tests.model.data.streams import streams


def test_row_groups_come_back_in_the_order_of_the_files(tokens: Tokens) -> None:
    split = TokenSplit(tokens.tokens, "train")
    assert len(split.row_groups) == len(tokens.train)
    for number, stream in enumerate(streams(tokens.train)):
        np.testing.assert_array_equal(split.read(number), stream)
    assert split.tokens == sum(len(stream) for stream in streams(tokens.train))


def test_documents_say_how_the_tokens_are_divided(tokens: Tokens) -> None:
    split = TokenSplit(tokens.tokens, "val")
    for number, group in enumerate(tokens.val):
        documents = split.documents(number)
        assert documents.column("n_tokens").to_pylist() == [len(d) for d in group]
        assert documents.column("source").to_pylist() == ["web", "books"] * (len(group) // 2)


def test_a_sliced_column_gives_its_own_bytes_alone() -> None:
    whole = pa.array([b"abc", b"", b"de", b"fgh"], pa.binary())
    sliced = pa.chunked_array([whole.slice(1, 2), whole.slice(3)])
    assert unpacked(sliced, np.dtype(np.uint8)).tobytes() == b"defgh"


def test_a_split_that_is_not_there_is_refused(tokens: Tokens) -> None:
    with pytest.raises(GristmillError, match="no 'test' split"):
        TokenSplit(tokens.tokens, "test")


def test_a_file_that_disagrees_with_the_manifest_is_refused(tokens: Tokens) -> None:
    split = TokenSplit(tokens.tokens, "train")
    split.row_groups[0] = split.row_groups[0]._replace(tokens=7)
    with pytest.raises(GristmillError, match="tokenize again"):
        split.read(0)
