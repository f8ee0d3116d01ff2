"""Reading speed of the two ways to store a document's tokens in Parquet: packed binary against
list<int32>.

    python tests/benchmarks/bench_packed_tokens.py [TOKENS]

Writes the same tokens (documents of about 800, Zipf's law over 32,768 ids, zstd, row groups of 2 M
tokens) in both forms and reads every row group into one numpy array with pyarrow, on one thread,
the best of five.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

DOCUMENT_TOKENS = 800
GROUP_TOKENS = 2_000_000


def write(folder: Path, tokens: int) -> tuple[Path, Path]:
    """The packed and the list file."""
    random = np.random.default_rng(0)
    ids = np.minimum(random.zipf(1.2, tokens) - 1, 32_767).astype(np.uint16)
    documents = np.array_split(ids, max(1, tokens // DOCUMENT_TOKENS))
    packed, listed = folder / "packed.parquet", folder / "listed.parquet"
    columns = {
        packed: pa.array([d.tobytes() for d in documents]),
        listed: pa.array([d.astype(np.int32) for d in documents]),
    }
    for path, column in columns.items():
        pq.write_table(
            pa.table({"tokens": column}),
            path,
            compression="zstd",
            row_group_size=GROUP_TOKENS // DOCUMENT_TOKENS,
        )
    return packed, listed


def read_packed(file: pq.ParquetFile, group: int) -> NDArray[np.uint16]:
    """As a training loader reads it."""
    column = file.read_row_group(group, columns=["tokens"], use_threads=False)[
        "tokens"
    ].combine_chunks()
    ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
    return np.frombuffer(column.buffers()[2], np.uint8)[ends[0] : ends[-1]].view(np.uint16)


def read_listed(file: pq.ParquetFile, group: int) -> NDArray[np.int32]:
    """The fastest way to the same array."""
    column = file.read_row_group(group, columns=["tokens"], use_threads=False)[
        "tokens"
    ].combine_chunks()
    values: NDArray[np.int32] = column.flatten().to_numpy()
    return values


def tokens_per_second(
    path: Path, read: Callable[[pq.ParquetFile, int], NDArray[np.generic]]
) -> float:
    """The best of five passes over the file."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        with pq.ParquetFile(path) as file:
            total = sum(len(read(file, group)) for group in range(file.num_row_groups))
        best = min(best, time.perf_counter() - start)
    return total / best


def main() -> None:
    """Measure and report."""
    tokens = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000_000
    with tempfile.TemporaryDirectory() as folder:
        packed, listed = write(Path(folder), tokens)
        fast, slow = tokens_per_second(packed, read_packed), tokens_per_second(listed, read_listed)
        sizes = [path.stat().st_size / tokens for path in (packed, listed)]
    sys.stdout.write(
        f"packed {fast / 1e6:.0f} M tokens/s, {sizes[0]:.2f} bytes a token;"
        f" list<int32> {slow / 1e6:.1f} M tokens/s, {sizes[1]:.2f} bytes a token;"
        f" {fast / slow:.1f} times as fast\n"
    )


if __name__ == "__main__":
    main()
