"""The training's batches: sequences of T + 1 tokens, int64 [sequences, T + 1], in `order`'s order.

Global batch g holds the positions [g B, (g + 1) B) of the order, for any number of processes; a
rank takes its contiguous slice of it, in micro-batches of fixed size. The state of the loader is
ONE integer, the sequences consumed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from infra.errors import GristmillError
from infra.lake.tokens import Tokens
from model.data.order import Integers, Order
from model.data.split import TokenSplit


@dataclass(frozen=True)
class Shape:
    """How a global batch is cut over the processes.

    length  T, tokens that a sequence predicts
    batch   B, sequences of a global batch
    micro   sequences of a micro-batch, computed at once by one rank
    rank    this process; world: how many there are
    """

    length: int
    batch: int
    micro: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.batch % (self.micro * self.world):
            raise GristmillError(
                f"a batch of {self.batch} sequences cannot be cut into micro-batches of"
                f" {self.micro} on {self.world} processes; make global_batch_sequences a multiple"
                " of micro_batch_sequences times the processes"
            )

    @property
    def micro_batches(self) -> int:
        """Micro-batches a rank computes in a step."""
        return self.batch // (self.micro * self.world)


class TrainLoader:
    """Same global batch for any number of processes: a function of (data set, T, B, seed, g) alone.

    `micro_batches(consumed)` is pure: to resume, ask for the batch that begins after the sequences
    consumed so far. The row groups of the window being read are kept in memory.
    """

    def __init__(self, split: TokenSplit, shape: Shape, seed: int) -> None:
        self.split = split
        self.shape = shape
        self.order = Order([group.tokens for group in split.row_groups], shape.length, seed)
        self._window_key: tuple[int, int] = (-1, -1)
        self._window: dict[int, Tokens] = {}

    def micro_batches(self, consumed: int) -> Iterator[Tensor]:
        """This rank's micro-batches, int64 [micro, T + 1] each, of the global batch that begins at
        position `consumed`."""
        per_rank = self.shape.batch // self.shape.world
        first = consumed + self.shape.rank * per_rank
        for start in range(first, first + per_rank, self.shape.micro):
            yield torch.from_numpy(self.read(np.arange(start, start + self.shape.micro)))

    def read(self, positions: Integers) -> Integers:
        """The sequences at `positions` of the order: int64 [len(positions), T + 1]."""
        out = np.empty((len(positions), self.shape.length + 1), dtype=np.int64)
        for row, (epoch, window, group, sequence) in enumerate(
            zip(*self.order.locate(positions), strict=True)
        ):
            if (epoch, window) != self._window_key:
                self._window_key, self._window = (epoch, window), {}
            if group not in self._window:
                self._window[group] = self.split.read(group)
            start = sequence * self.shape.length
            out[row] = self._window[group][start : start + self.shape.length + 1]
        return out
