"""One split of a `tokens` artifact (Parquet, column `tokens`: packed little-endian integers).

In: the artifact's manifest (details.splits: files, and tokens a row group) and the files it names,
in a directory or on S3. Out: a row group at a time, its tokens as one array in row order, and its
documents. No torch here.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact

Tokens = npt.NDArray[np.unsignedinteger]


class RowGroup(NamedTuple):
    """Where a row group is and how many tokens the manifest says it has.

    uri     its file; place: its number in the file
    tokens  of all its documents together
    """

    uri: str
    place: int
    tokens: int


class TokenSplit:
    """One split (`train`, `val`) of a tokens artifact; its row groups are numbered from 0.

    digest      of the artifact's manifest, whole
    tokens      in the split; bytes: of UTF-8 text that they encode
    vocab_size  of the tokenizer
    row_groups  in the order of the manifest's files

    Raises GristmillError when the artifact has no such split.
    """

    def __init__(self, artifact: Artifact, split: str) -> None:
        manifest = artifact.require()
        found = manifest.details.get("splits", {}).get(split)
        if not found or not found["files"]:
            raise GristmillError(
                f"{artifact.uri}: no '{split}' split; tokenize more text or raise val_fraction"
            )
        self.digest = manifest.digest
        self.name = split
        self.tokens = int(found["tokens"])
        self.bytes = int(found["bytes"])
        self.vocab_size = int(manifest.details["vocab_size"])
        self.dtype = np.dtype(manifest.details["dtype"]).newbyteorder("<")
        self.row_groups = [
            RowGroup(artifact.file(file["path"]), index, count)
            for file in found["files"]
            for index, count in enumerate(file["row_groups"])
        ]

    def read(self, number: int) -> Tokens:
        """All tokens of row group `number`, in row order.

        Raises GristmillError when they are not as many as the manifest says.
        """
        group = self.row_groups[number]
        packed = _packed(self._columns(group, ["tokens"]).column("tokens"))
        tokens: Tokens = np.frombuffer(packed, dtype=self.dtype)
        if len(tokens) != group.tokens:
            raise GristmillError(
                f"{group.uri}: row group {group.place} has {len(tokens)} tokens, the manifest says"
                f" {group.tokens}; tokenize again"
            )
        return tokens

    def documents(self, number: int) -> pa.Table:
        """The row group's documents without their tokens: source, n_tokens, n_bytes."""
        return self._columns(self.row_groups[number], ["source", "n_tokens", "n_bytes"])

    def _columns(self, group: RowGroup, columns: list[str]) -> pa.Table:
        with storage.open_read(group.uri) as stream:
            return pq.ParquetFile(stream).read_row_group(
                group.place, columns=columns, use_threads=False
            )


def _packed(column: pa.ChunkedArray) -> memoryview:
    """The bytes of all rows one after another; of a single chunk without a copy.

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
    return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
