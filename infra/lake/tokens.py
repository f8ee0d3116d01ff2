"""Packed tokens of an artifact: Parquet, column `tokens` of little-endian integers.

In: a manifest whose details list each split's files, the tokens of their row groups and the dtype.
Out: a row group at a time, columns or the tokens of each document. A training reads whole row
groups (`model.data.split`), people documents (`Artifact.tokens`).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.errors import GristmillError
from infra.manifest import Manifest

Tokens = npt.NDArray[np.unsignedinteger]


class RowGroup(NamedTuple):
    """Where a row group is and how many tokens the manifest says it has.

    uri     its file; place: its number in the file
    tokens  of all its documents together
    """

    uri: str
    place: int
    tokens: int

    def read(self, columns: list[str]) -> pa.Table:
        """Its rows."""
        with storage.open_read(self.uri) as stream:
            return pq.ParquetFile(stream).read_row_group(
                self.place, columns=columns, use_threads=False
            )


def split_of(folder: str, manifest: Manifest, split: str) -> dict[str, Any]:
    """What the manifest says of a split of the artifact in `folder`, a URI.

    Raises GristmillError when the artifact has no such split, or none at all.
    """
    found: dict[str, Any] = manifest.details.get("splits", {}).get(split, {})
    if not found.get("files"):
        raise GristmillError(
            f"{folder}: no '{split}' split; tokenize more text or raise val_fraction"
        )
    return found


def row_groups(folder: str, split: dict[str, Any]) -> list[RowGroup]:
    """The row groups of a split, in the order of its files."""
    return [
        RowGroup(storage.join(folder, file["path"]), place, count)
        for file in split["files"]
        for place, count in enumerate(file["row_groups"])
    ]


def dtype_of(manifest: Manifest) -> np.dtype[np.unsignedinteger]:
    """The packed type."""
    packed: np.dtype[np.unsignedinteger] = np.dtype(manifest.details["dtype"]).newbyteorder("<")
    return packed


def unpacked(column: pa.ChunkedArray, dtype: np.dtype[np.unsignedinteger]) -> Tokens:
    """The tokens of all rows one after another; of a single chunk without a copy.

    Arrow keeps a binary column as offsets into one buffer. A chunk may be a slice of a longer one,
    so its bytes begin at its own first offset, not at 0.
    """
    parts = []
    for chunk in column.chunks:
        _, offsets, data = chunk.buffers()
        bounds = np.frombuffer(offsets, dtype=np.int32)[
            chunk.offset : chunk.offset + len(chunk) + 1
        ]
        parts.append(
            memoryview(data)[bounds[0] : bounds[-1]] if data is not None else memoryview(b"")
        )
    packed = parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
    return np.frombuffer(packed, dtype=dtype)


def documents_in(
    group: RowGroup, dtype: np.dtype[np.unsignedinteger]
) -> Iterator[tuple[bytes, Tokens]]:
    """(doc_id, tokens) of each row of a row group."""
    rows = group.read(["doc_id", "tokens", "n_tokens"])
    tokens = unpacked(rows["tokens"], dtype)
    ends = np.cumsum(rows["n_tokens"].to_numpy(), dtype=np.int64)
    for doc_id, first, end in zip(rows["doc_id"].to_pylist(), [0, *ends[:-1]], ends, strict=True):
        yield doc_id, tokens[first:end]
