"""The endless order in which a training draws its sequences: a function of sizes, T and seed alone.

A row group's tokens (its documents, concatenated in row order) are cut into sequences of T + 1
tokens at stride T:

    tokens      0 1 2 3 4 5 6 7 8 9 ...      T = 4
    sequence 0  0 1 2 3 4                    predicts 1 2 3 4
    sequence 1          4 5 6 7 8            predicts 5 6 7 8

Neighbours share one token: the last target of one is the first input of the next, so every token
but the row group's first is a target once. What is left at the row group's end (under T + 1 tokens)
is dropped.

An epoch visits the row groups in a keyed order, WINDOW of them at a time, and the sequences of a
window in a keyed order; the next epoch has other keys. Why windows: a shuffle over all sequences
would read a whole row group for each of them. A window's row groups are read once an epoch and kept
while it lasts, so memory is bounded by WINDOW row groups, and still a batch mixes sequences from
WINDOW of them.

Positions in this order count from 0 and never end; position p is in epoch p // `sequences`. The
state of a training's data is ONE integer, the positions consumed. numpy only: any program can ask
what the first N positions held.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from infra.errors import GristmillError
from model.data.permutation import Permutation

WINDOW = 16
Integers = npt.NDArray[np.int64]


class Order:
    """The order of a training on row groups of so many `tokens`, T = `length`, with `seed`.

    per_group       sequences of each row group, int64 [row groups]
    sequences       in an epoch
    dropped_tokens  that no sequence of an epoch holds

    Raises GristmillError when no row group holds a sequence.
    """

    def __init__(self, tokens: Sequence[int], length: int, seed: int) -> None:
        self.length = length
        self.seed = seed
        self.per_group = np.array([max(0, (n - 1) // length) for n in tokens], dtype=np.int64)
        self.sequences = int(self.per_group.sum())
        if not self.sequences:
            raise GristmillError(
                f"the training split ({sum(tokens)} tokens) holds no sequence of {length + 1}"
                " tokens; lower model.context_tokens or give more text"
            )
        used = self.per_group * length + (self.per_group > 0)
        self.dropped_tokens = int(sum(tokens) - used.sum())
        self._epoch = lru_cache(maxsize=2)(self._epoch_order)

    def locate(self, positions: Integers) -> tuple[list[int], list[int], list[int], list[int]]:
        """Epoch, window, row group and sequence in it of each position; pure."""
        columns = np.empty((4, len(positions)), dtype=np.int64)
        columns[0], within = np.divmod(positions, self.sequences)
        for epoch in np.unique(columns[0]):
            groups, ends, window_ends = self._epoch(int(epoch))
            mine = columns[0] == epoch
            columns[1, mine] = np.searchsorted(window_ends, within[mine], side="right")
            for window in np.unique(columns[1, mine]):
                here = mine & (columns[1] == window)
                start, shuffle = self._window(int(epoch), int(window))
                place = start + shuffle(within[here] - start)
                rank = np.searchsorted(ends, place, side="right")
                columns[2, here] = groups[rank]
                columns[3, here] = place - (ends[rank] - self.per_group[groups[rank]])
        epochs, windows, found, sequences = columns.tolist()
        return epochs, windows, found, sequences

    def draws(self, group: int, sequences: Integers, sequences_consumed: int) -> Integers:
        """How often each of a row group's `sequences` is among the first positions consumed.

        Whole epochs draw each once; for the epoch begun, the order is walked backwards: from the
        sequence to its position.
        """
        epoch, rest = divmod(sequences_consumed, self.sequences)
        groups, ends, _ = self._epoch(epoch)
        rank = int(np.flatnonzero(groups == group)[0])
        start, shuffle = self._window(epoch, rank // WINDOW)
        place = ends[rank] - self.per_group[group] + sequences
        within = start + shuffle.inverse(place - start)
        return epoch + (within < rest).astype(np.int64)

    def consumed(
        self, group: int, first_token: int, last_token: int, sequences_consumed: int
    ) -> int:
        """How often a training that consumed so many sequences has seen tokens [first, last) of
        row group `group`; pure.

        Of all sequences that hold any of these tokens, as input or target, the one drawn most often
        counts: 0 says that no part was ever seen, also of tokens that every epoch drops. It never
        exceeds the epochs begun.
        """
        # Sequence s holds the tokens [s T, s T + T]; a token s T belongs to sequence s - 1 too.
        first = max(0, (first_token - 1) // self.length)
        end = min(int(self.per_group[group]), (last_token - 1) // self.length + 1)
        if first_token >= last_token or first >= end:
            return 0
        return int(self.draws(group, np.arange(first, end), sequences_consumed).max())

    def _epoch_order(self, epoch: int) -> tuple[Integers, Integers, Integers]:
        """The row groups in the epoch's order, and where each of them, and each window, ends."""
        count = len(self.per_group)
        groups = Permutation(count, self.seed, "row groups", epoch)(np.arange(count))
        ends = np.cumsum(self.per_group[groups])
        last = np.minimum(np.arange(WINDOW, count + WINDOW, WINDOW), count) - 1
        return groups, ends, ends[last]

    def _window(self, epoch: int, window: int) -> tuple[int, Permutation]:
        """Where a window starts in its epoch, and the permutation of its sequences."""
        _, _, ends = self._epoch(epoch)
        start = int(ends[window - 1]) if window else 0
        size = int(ends[window]) - start
        return start, Permutation(size, self.seed, "sequences", epoch, window)
