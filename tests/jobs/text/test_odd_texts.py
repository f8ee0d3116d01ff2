"""Texts that nobody writes pass every map over documents, a row for each, in a time that grows as
they do."""

import time
from collections.abc import Iterator

import pyarrow as pa
import pytest

from jobs.filter import add_signals
from jobs.near_duplicates.signatures import sign_batches
from jobs.tokens.encoding import encode_batches
from jobs.tokens.vocabulary import bytes_tokenizer, train_bpe

ODD = {
    "empty": "",
    "nul": "a\0b " * 20,
    "no characters": "\ufffe\uffff word " * 9,
    "one word": "x" * (1 << 20),
    "marks": "\u0301" * 10_000,
    "lines": "\n" * 10_000,
}


LONG = {
    "letters": "ACGT",
    "signs": "!",
    "dots": ".",
    "marks": "\u0300\u0316",
    "half-width marks": "\uff9e\u0316",
    "tibetan marks": "\u0f71\u0f72",
    "spaces": " ",
    "lines": "\n",
    "ends of Windows": "\r\n",
    "digits": "1",
    "jamo": "\u1100\u1161\u11a8",
    "han": "漢",
    "thai": "กี่",
    "flags": "\U0001f1e9\U0001f1ea",
    "joiners": "\u200d",
    "directions": "\u202e\u202d",
    "braces": "{",
}
"""What long runs are made of; an `a` stands before and behind."""
BPE = train_bpe(["the quick brown fox jumps over the lazy dog and all of it"] * 50, 400).to_str()


def through_every_map(text: str) -> Iterator[int]:
    """The rows that each map makes of a document with this text."""
    columns = {"row_id": [bytes(16)], "doc_id": [bytes(16)], "source": ["web"], "text": [text]}
    batch = pa.RecordBatch.from_pydict({"row": pa.array([0], pa.int32()), **columns})
    for made in (
        add_signals(iter([batch])),
        sign_batches(iter([batch]), 5, 24, 6, 0),
        encode_batches(iter([batch]), bytes_tokenizer().to_str(), 256, 0.0),
        encode_batches(iter([batch]), BPE, 0, 0.0),
    ):
        yield sum(rows.num_rows for rows in made)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_text_ends_no_step(name: str) -> None:
    assert list(through_every_map(ODD[name])) == [1, 1, 1, 1]


@pytest.mark.parametrize("name", LONG)
def test_a_run_of_four_times_the_length_takes_no_sixteen_times(name: str) -> None:
    def cpu_seconds(length: int) -> float:
        text = f"a{LONG[name] * length}a"
        start = time.process_time()
        assert list(through_every_map(text)) == [1, 1, 1, 1]
        train_bpe([text], 300)
        return time.process_time() - start

    cpu_seconds(1)  # compiles
    assert cpu_seconds(40_000) < 8 * max(0.05, cpu_seconds(10_000))
