"""The per-batch work of deduplication over Arrow record batches: sign texts, compare candidate pairs. No Spark."""

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
    word_hashes,
)

SIGNED = "doc_id binary, warc_file string, warc_offset long, source string, length long, content binary, shingles binary, bands array<long>"
VERIFIED = "left binary, right binary, jaccard double"


def sign_batches(
    batches: Iterator[pa.RecordBatch], shingle_words: int, bands: int, rows: int, seed: int
) -> Iterator[pa.RecordBatch]:
    """In: doc_id, warc_file, warc_offset, source, text. Out: `SIGNED`.

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
            keys.append(
                band_keys(signature_of(shingles, functions), bands)
                if len(words) >= shingle_words
                else np.empty(0, np.int64)
            )
        columns = {
            name: batch.column(name) for name in ("doc_id", "warc_file", "warc_offset", "source")
        }
        columns |= {
            "length": pa.array(lengths, pa.int64()),
            "content": pa.array(contents, pa.binary()),
            "shingles": pa.array(packed, pa.binary()),
            "bands": pa.array(keys, pa.list_(pa.int64())),
        }
        yield pa.RecordBatch.from_pydict(columns)


def verify_batches(batches: Iterator[pa.RecordBatch], threshold: float) -> Iterator[pa.RecordBatch]:
    """In: left, right, left_shingles, right_shingles. Out: `VERIFIED`, the pairs whose exact Jaccard similarity reaches the threshold."""
    for batch in batches:
        values = np.fromiter(
            (
                jaccard(
                    np.frombuffer(left.as_py(), np.uint64), np.frombuffer(right.as_py(), np.uint64)
                )
                for left, right in zip(
                    batch.column("left_shingles"), batch.column("right_shingles")
                )
            ),
            np.float64,
            batch.num_rows,
        )
        found = pa.RecordBatch.from_pydict(
            {
                "left": batch.column("left"),
                "right": batch.column("right"),
                "jaccard": pa.array(values),
            }
        )
        yield found.filter(pa.array(values >= threshold))
