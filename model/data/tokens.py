"""Token sequences for training, out of a `tokens` artifact (Parquet, column `tokens`: packed little-endian integers).

In: the artifact's manifest (details.splits: files and tokens per row group) and the files it names, read a row group at a time, from a
directory or S3. Out: sequences of T + 1 tokens, int64 [sequences, T + 1]; a model predicts the last T of them.

Training: a row group's documents, concatenated in row order, are cut into sequences of T + 1 tokens at stride T; what is left at the
row group's end (under T + 1 tokens) is dropped and counted in `dropped_tokens`. An epoch visits the row groups in a keyed order,
WINDOW of them at a time, and the sequences of a window in a keyed order: memory is bounded by a window (2 bytes a token).
The state of the order is ONE integer, the sequences consumed; the next epoch has other keys. Global batch g holds positions
[g B, (g + 1) B) for any number of processes; a rank takes its contiguous slice of it in micro-batches of fixed size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact
from model.data.permutation import Permutation

WINDOW = 16
Integers = npt.NDArray[np.int64]


class RowGroup(NamedTuple):
    """Where a row group is (`place`: its number in the file) and how many tokens the manifest says it has."""

    uri: str
    place: int
    tokens: int


class TokenSplit:
    """One split (`train`, `val`) of a tokens artifact. Raises GristmillError when it has no such split or its files disagree."""

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

    def read(self, number: int) -> npt.NDArray[np.unsignedinteger]:
        """All tokens of row group `number`, in row order."""
        group = self.row_groups[number]
        packed = _packed(self._columns(group, ["tokens"]).column("tokens"))
        tokens: npt.NDArray[np.unsignedinteger] = np.frombuffer(packed, dtype=self.dtype)
        if len(tokens) != group.tokens:
            raise GristmillError(
                f"{group.uri}: row group {group.place} has {len(tokens)} tokens, the manifest says {group.tokens}; tokenize again"
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


@dataclass(frozen=True)
class Shape:
    """How a global batch is cut: `batch` sequences of `length` tokens in micro-batches of `micro` sequences, over `world` ranks."""

    length: int
    batch: int
    micro: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.batch % (self.micro * self.world):
            raise GristmillError(
                f"a batch of {self.batch} sequences cannot be cut into micro-batches of {self.micro} on {self.world} processes;"
                " make global_batch_sequences a multiple of micro_batch_sequences times the processes"
            )

    @property
    def micro_batches(self) -> int:
        """Micro-batches a rank computes in a step."""
        return self.batch // (self.micro * self.world)


class TrainLoader:
    """Same global batch for any number of processes: batch g of seed s is a function of (data set, T, B, s, g) alone.

    `micro_batches(consumed)` is pure: to resume, ask for the batch that begins after the sequences consumed so far.
    """

    def __init__(self, split: TokenSplit, shape: Shape, seed: int) -> None:
        self.split = split
        self.shape = shape
        self.seed = seed
        self._sequences = np.array(
            [max(0, (group.tokens - 1) // shape.length) for group in split.row_groups],
            dtype=np.int64,
        )
        self.sequences = int(self._sequences.sum())
        if not self.sequences:
            raise GristmillError(
                f"the {split.name} split ({split.tokens} tokens) holds no sequence of {shape.length + 1} tokens;"
                " lower model.context_tokens or give more text"
            )
        self._order = lru_cache(maxsize=2)(self._epoch_order)
        self._window_key: tuple[int, int] = (-1, -1)
        self._window: dict[int, npt.NDArray[np.unsignedinteger]] = {}

    @property
    def dropped_tokens(self) -> int:
        """Tokens at row groups' ends that no sequence of an epoch holds."""
        used = self._sequences * self.shape.length + (self._sequences > 0)
        return int(self.split.tokens - used.sum())

    def micro_batches(self, consumed: int) -> Iterator[Tensor]:
        """This rank's micro-batches, int64 [micro, T + 1] each, of the global batch that begins at sequence `consumed`."""
        per_rank = self.shape.batch // self.shape.world
        first = consumed + self.shape.rank * per_rank
        for start in range(first, first + per_rank, self.shape.micro):
            yield torch.from_numpy(self.read(np.arange(start, start + self.shape.micro)))

    def read(self, positions: Integers) -> Integers:
        """The sequences at `positions` of the endless order: int64 [len(positions), T + 1]."""
        out = np.empty((len(positions), self.shape.length + 1), dtype=np.int64)
        for row, (epoch, window, group, sequence) in enumerate(
            zip(*self.locate(positions), strict=True)
        ):
            if (epoch, window) != self._window_key:
                self._window_key, self._window = (epoch, window), {}
            if group not in self._window:
                self._window[group] = self.split.read(group)
            start = sequence * self.shape.length
            out[row] = self._window[group][start : start + self.shape.length + 1]
        return out

    def locate(self, positions: Integers) -> tuple[list[int], list[int], list[int], list[int]]:
        """Epoch, window, row group and sequence in it of each position of the endless order."""
        columns = np.empty((4, len(positions)), dtype=np.int64)
        columns[0], within = np.divmod(positions, self.sequences)
        for epoch in np.unique(columns[0]):
            groups, ends = self._order(int(epoch))
            window_ends = ends[
                np.minimum(np.arange(WINDOW, len(groups) + WINDOW, WINDOW), len(groups)) - 1
            ]
            mine = columns[0] == epoch
            columns[1, mine] = np.searchsorted(window_ends, within[mine], side="right")
            for window in np.unique(columns[1, mine]):
                here = mine & (columns[1] == window)
                start = int(window_ends[window - 1]) if window else 0
                shuffle = Permutation(
                    int(window_ends[window]) - start,
                    self.seed,
                    "sequences",
                    int(epoch),
                    int(window),
                )
                place = start + shuffle(within[here] - start)
                rank = np.searchsorted(ends, place, side="right")
                columns[2, here] = groups[rank]
                columns[3, here] = place - (ends[rank] - self._sequences[groups[rank]])
        epochs, windows, found, sequences = columns.tolist()
        return epochs, windows, found, sequences

    def _epoch_order(self, epoch: int) -> tuple[Integers, Integers]:
        groups = Permutation(len(self._sequences), self.seed, "row groups", epoch)(
            np.arange(len(self._sequences))
        )
        return groups, np.cumsum(self._sequences[groups])
