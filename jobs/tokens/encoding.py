"""Texts to packed tokens over Arrow record batches. No Spark.

A document's tokens are one binary value: little-endian uint16 where the vocabulary has at most
65,536 tokens, else uint32. The end of text closes every document of a tokenizer that has one.
Special tokens that occur in a text are encoded as the plain characters they are.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

from infra.errors import GristmillError
from jobs.tokens.vocabulary import NO_END, token_bytes

ENCODED = pa.schema(
    [
        ("row", pa.int32()),
        ("row_id", pa.binary()),
        ("doc_id", pa.binary()),
        ("source", pa.string()),
        ("part", pa.int32()),
        ("split", pa.string()),
        ("tokens", pa.binary()),
        ("n_tokens", pa.int32()),
        ("n_bytes", pa.int32()),
    ]
)
PASSED = ("row", "row_id", "doc_id", "source")


def dtype_of(vocab_size: int) -> str:
    """The packed type: uint16 or uint32."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


@lru_cache(maxsize=2)
def load_tokenizer(tokenizer_json: str) -> tuple[Tokenizer, NDArray[np.int64]]:
    """The tokenizer, taking special tokens in texts as plain characters, and (vocab_size,) bytes a
    token stands for."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.encode_special_tokens = True
    return tokenizer, np.array(token_bytes(tokenizer), np.int64)


def encode_batches(
    batches: Iterator[pa.RecordBatch], tokenizer_json: str, eos_id: int, tail: float
) -> Iterator[pa.RecordBatch]:
    """In: `PASSED` and text. Out: `ENCODED`, one row a document; with `tail` > 0 a row for each
    side of its cut.

    part    0 for a document's first row, 1 for the second
    split   train or val with `tail` > 0, else null
    n_bytes UTF-8 bytes of the text that the tokens stand for
    A document without a token keeps one row with n_tokens = 0 and no end of text.
    """
    tokenizer, sizes = load_tokenizer(tokenizer_json)
    packed = np.dtype(dtype_of(len(sizes))).newbyteorder("<")
    for batch in batches:
        source_rows, parts, splits, tokens, n_tokens, n_bytes = [], [], [], [], [], []
        for row, ids in enumerate(_ids(tokenizer, batch.column("text").to_pylist())):
            if len(ids) and eos_id != NO_END:
                ids = np.append(ids, eos_id)
            for part, (split, piece) in enumerate(_parts(ids, tail)):
                source_rows.append(row)
                parts.append(part)
                splits.append(split)
                tokens.append(piece.astype(packed).tobytes())
                n_tokens.append(len(piece))
                n_bytes.append(int(sizes[piece].sum()))
        rows = pa.array(source_rows, pa.int32())
        columns = [batch.column(name).take(rows) for name in PASSED]
        columns += [
            pa.array(parts, pa.int32()),
            pa.array(splits, pa.string()),
            pa.array(tokens, pa.binary()),
            pa.array(n_tokens, pa.int32()),
            pa.array(n_bytes, pa.int32()),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=ENCODED)


def _ids(tokenizer: Tokenizer, texts: list[str | None]) -> Iterator[NDArray[np.int64]]:
    try:
        encodings = tokenizer.encode_batch_fast(
            [text or "" for text in texts], add_special_tokens=False
        )
    except Exception as error:  # the library raises nothing narrower
        raise GristmillError(
            f"tokenize: {error}; a chars tokenizer only knows the characters of its own documents"
        ) from None
    return (np.array(encoding.ids, np.int64) for encoding in encodings)


def _parts(ids: NDArray[np.int64], tail: float) -> list[tuple[str | None, NDArray[np.int64]]]:
    if not tail or not len(ids):
        return [(None, ids)]
    cut = int(len(ids) * (1 - tail))
    return [
        (split, piece) for split, piece in (("train", ids[:cut]), ("val", ids[cut:])) if len(piece)
    ]
