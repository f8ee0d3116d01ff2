"""Texts to packed tokens over Arrow record batches. No Spark.

A document's tokens are one binary value: little-endian uint16 where the vocabulary has at most
65,536 tokens, else uint32. The end of text closes every document of a tokenizer that has one.
Special tokens that occur in a text are encoded as the plain characters they are.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer, models

from infra.errors import GristmillError
from jobs.tokens.vocabulary import NO_END, byte_symbols, token_bytes

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
Ids = NDArray[np.int32]
Encode = Callable[[list[str]], Iterator[Ids]]
UNKNOWN = -1
PART_CHARS = 1 << 20
"""What the library is given of a text at once: it takes up to 200 bytes of memory a byte."""
BEFORE_SPACE = re.compile(r"(?<=\S)(?= )")
CODE_POINTS = 0x110000
PASSED = ("row", "row_id", "doc_id", "source")


def dtype_of(vocab_size: int) -> str:
    """The packed type: uint16 or uint32."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


@lru_cache(maxsize=2)
def load_tokenizer(tokenizer_json: str) -> tuple[Encode, NDArray[np.int64]]:
    """What turns texts into ids, taking special tokens in them as plain characters, and
    (vocab_size,) bytes a token stands for.

    Where every token is a byte or a character its id is looked up. The library would keep 94 bytes
    of memory for each.
    """
    tokenizer = Tokenizer.from_str(tokenizer_json)
    vocabulary, sizes = tokenizer.get_vocab(), token_bytes(tokenizer)
    if isinstance(tokenizer.model, models.WordLevel):
        characters = {ord(character): index for character, index in vocabulary.items()}
        encode = partial(_looked_up, _table(characters, CODE_POINTS), "utf-32-le", "<u4")
    elif max(sizes) == 1:
        found = {byte: vocabulary[symbol] for byte, symbol in enumerate(byte_symbols())}
        encode = partial(_looked_up, _table(found, 256), "utf-8", "u1")
    else:
        tokenizer.encode_special_tokens = True
        encode = partial(_encoded, tokenizer)
    return encode, np.array(sizes, np.int64)


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
    encode, sizes = load_tokenizer(tokenizer_json)
    packed = np.dtype(dtype_of(len(sizes))).newbyteorder("<")
    for batch in batches:
        source_rows, parts, splits, tokens, n_tokens, n_bytes = [], [], [], [], [], []
        for row, ids in enumerate(
            encode([text or "" for text in batch.column("text").to_pylist()])
        ):
            if len(ids) and eos_id != NO_END:
                ids = np.append(ids, np.int32(eos_id))
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


def _encoded(tokenizer: Tokenizer, texts: list[str]) -> Iterator[Ids]:
    if all(len(text) <= PART_CHARS for text in texts):
        for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
            yield np.array(encoding.ids, np.int32)
        return
    for text in texts:
        parts = (
            tokenizer.encode_batch_fast([part], add_special_tokens=False) for part in cut(text)
        )
        yield np.concatenate([np.array(encoding.ids, np.int32) for (encoding,) in parts])


def cut(text: str) -> Iterator[str]:
    """The text in parts of about PART_CHARS that have the tokens of the whole, one after the other:
    no piece of `PIECES` holds a space behind something else, and none looks back."""
    start = 0
    while found := BEFORE_SPACE.search(text, start + PART_CHARS):
        yield text[start : found.start()]
        start = found.start()
    yield text[start:]


def _table(ids: Mapping[int, int], size: int) -> Ids:
    """(size,) the id of each code, UNKNOWN where it has none."""
    table = np.full(size, UNKNOWN, np.int32)
    table[list(ids)] = list(ids.values())
    return table


def _looked_up(table: Ids, charset: str, code: str, texts: list[str]) -> Iterator[Ids]:
    """The id of each code of the texts in this charset. Raises GristmillError for an unknown one:
    bytes are all known."""
    for text in texts:
        codes = np.frombuffer(text.encode(charset), code)
        found = table[codes]
        if UNKNOWN in found:
            character = chr(codes[found == UNKNOWN][0])
            raise GristmillError(
                f"tokenize: the tokenizer has no token for {character!r}; a chars tokenizer only"
                " knows the characters of its own documents"
            )
        yield found


def _parts(ids: Ids, tail: float) -> list[tuple[str | None, Ids]]:
    if not tail or not len(ids):
        return [(None, ids)]
    cut = int(len(ids) * (1 - tail))
    return [
        (split, piece) for split, piece in (("train", ids[:cut]), ("val", ids[cut:])) if len(piece)
    ]
