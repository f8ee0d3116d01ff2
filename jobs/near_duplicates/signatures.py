"""The per-batch work of deduplication over Arrow record batches: sign texts, compare candidate
pairs. No Spark."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from jobs.near_duplicates.minhash import (
    band_keys,
    content_key,
    hash_functions,
    jaccard,
    shingles_of,
    signature_of,
)
from jobs.text.words import word_hashes

SIGNED = pa.schema(
    [
        ("row", pa.int32()),
        ("row_id", pa.binary()),
        ("doc_id", pa.binary()),
        ("length", pa.int64()),
        ("content", pa.binary()),
        ("shingles", pa.binary()),
        ("bands", pa.list_(pa.int64())),
    ]
)
VERIFIED = "left long, right long, jaccard double"


def sign_batches(
    batches: Iterator[pa.RecordBatch], shingle_words: int, bands: int, rows: int, seed: int
) -> Iterator[pa.RecordBatch]:
    """In: row, row_id, doc_id, text. Out: `SIGNED`.

    length    code points of the text
    content   16 bytes, equal for equal normalised texts
    shingles  sorted distinct shingle hashes, packed uint64
    bands     LSH keys; none for a text under `shingle_words` words
    """
    functions = hash_functions(bands * rows, seed)
    for batch in batches:
        lengths, contents, packed, keys = [], [], [], []
        for text in batch.column("text").to_pylist():
            words = word_hashes(text or "")
            shingles = shingles_of(words, shingle_words)
            lengths.append(len(text or ""))
            contents.append(content_key(text or ""))
            packed.append(shingles.tobytes())
            long_enough = len(words) >= shingle_words
            signature = signature_of(shingles, functions) if long_enough else None
            none = np.empty(0, np.int64)
            keys.append(none if signature is None else band_keys(signature, bands))
        columns = [
            batch.column("row"),
            batch.column("row_id"),
            batch.column("doc_id"),
            pa.array(lengths, pa.int64()),
            pa.array(contents, pa.binary()),
            pa.array(packed, pa.binary()),
            pa.array(keys, pa.list_(pa.int64())),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=SIGNED)


def verify_batches(batches: Iterator[pa.RecordBatch], threshold: float) -> Iterator[pa.RecordBatch]:
    """In: left, right, left_shingles, right_shingles. Out: `VERIFIED`, the pairs whose exact
    Jaccard similarity reaches the threshold."""
    for batch in batches:
        sides = zip(batch.column("left_shingles"), batch.column("right_shingles"), strict=True)
        values = np.fromiter((_similarity(*side) for side in sides), np.float64, batch.num_rows)
        columns = [batch.column("left"), batch.column("right"), pa.array(values)]
        found = pa.RecordBatch.from_arrays(columns, names=["left", "right", "jaccard"])
        yield found.filter(pa.array(values >= threshold))


def _similarity(left: pa.BinaryScalar, right: pa.BinaryScalar) -> float:
    return jaccard(np.frombuffer(left.as_py(), np.uint64), np.frombuffer(right.as_py(), np.uint64))
