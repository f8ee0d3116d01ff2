"""Texts that nobody writes pass every map over documents, a row for each."""

import pyarrow as pa
import pytest

from jobs.filter import add_signals
from jobs.near_duplicates.signatures import sign_batches
from jobs.tokens.encoding import encode_batches
from jobs.tokens.vocabulary import bytes_tokenizer

ODD = {
    "empty": "",
    "nul": "a\0b " * 20,
    "no characters": "\ufffe\uffff word " * 9,
    "one word": "x" * (1 << 20),
    "marks": "\u0301" * 10_000,
    "lines": "\n" * 10_000,
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_text_ends_no_step(name: str) -> None:
    columns = {"row_id": [bytes(16)], "doc_id": [bytes(16)], "source": ["web"], "text": [ODD[name]]}
    batch = pa.RecordBatch.from_pydict({"row": pa.array([0], pa.int32()), **columns})
    made = [
        *add_signals(iter([batch])),
        *sign_batches(iter([batch]), 5, 24, 6, 0),
        *encode_batches(iter([batch]), bytes_tokenizer().to_str(), 256, 0.0),
    ]
    assert [rows.num_rows for rows in made] == [1, 1, 1]
