"""The validation split as masked windows: every token but the first is a target exactly once.

In: a `TokenSplit`. Out: `Window` batches: tokens int64 [B, T + 1] with the mask of real targets;
where asked, the source of each target's document.

All row groups are one stream, cut at stride T into windows of T + 1 tokens: a window's last target
is the next one's first input, so nothing is dropped, unlike in training. Targets are the inputs
shifted by one; what belongs to a target (its mask, its source) is shifted with it: index t of
`real` and `sources` is about tokens[:, t + 1].

The same windows for any number of ranks: each takes a contiguous run of batches, padded with empty
ones so that all ranks compute equally often (a forward pass of FSDP is collective).
A cap takes the stream's beginning, a random sample of documents (rows are in hash order).
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from infra.errors import GristmillError
from model.data.order import Integers
from model.data.split import TokenSplit
from model.objectives.causal import token_losses


class Window(NamedTuple):
    """A batch of windows.

    tokens   int64 [B, T + 1], 0 where padded
    real     bool [B, T]: whether target t, which is tokens[:, t + 1], counts; the rest is padding
    sources  int64 [B, T]: index of target t's source in `ValidationWindows.sources`; -1 for padding
             and unless asked for
    """

    tokens: Tensor
    real: Tensor
    sources: Tensor


class ValidationWindows:
    """Iterable over this rank's batches; every rank yields `batches_per_rank` of them.

    length        T, targets of a window; batch: B, windows of a batch
    cap_tokens    use only so many target tokens from the beginning; 0: the whole split
    with_sources  read the documents' sources too (one more column)
    targets       in all windows of all ranks together
    sources       the split's sources, sorted; source_bytes: of the text of each
    """

    def __init__(
        self,
        split: TokenSplit,
        length: int,
        batch: int,
        rank: int = 0,
        world: int = 1,
        cap_tokens: int = 0,
        with_sources: bool = False,
    ) -> None:
        self.split = split
        self.length, self.batch = length, batch
        self.rank, self.world = rank, world
        self.with_sources = with_sources
        self._ends = np.cumsum([group.tokens for group in split.row_groups], dtype=np.int64)
        whole = int(self._ends[-1]) - 1
        if whole < 1:
            raise GristmillError(
                f"the {split.name} split holds {whole + 1} tokens; raise val_fraction or give more"
                " text"
            )
        self.targets = min(whole, cap_tokens) if cap_tokens else whole
        self.windows = -(-self.targets // length)
        self.batches_per_rank = -(-self.windows // (batch * world))
        self._group = lru_cache(maxsize=2)(self._read_group)
        self.sources: list[str] = []
        self.source_bytes: dict[str, int] = {}
        if with_sources:
            self._count_sources()

    def __iter__(self) -> Iterator[Window]:
        first = self.rank * self.batches_per_rank
        for number in range(first, first + self.batches_per_rank):
            yield self._window_batch(number * self.batch)

    def _window_batch(self, first_window: int) -> Window:
        tokens = np.zeros((self.batch, self.length + 1), dtype=np.int64)  # [B, T + 1]
        real = np.zeros((self.batch, self.length), dtype=np.bool_)  # [B, T]
        sources = np.full((self.batch, self.length), -1, dtype=np.int64)  # [B, T]
        for row in range(self.batch):
            start = (first_window + row) * self.length
            end = min(start + self.length, self.targets)
            if start >= end:
                break
            span, owners = self._span(start, end + 1)  # one more: inputs and targets, shifted
            tokens[row, : len(span)] = span
            real[row, : end - start] = True
            sources[row, : end - start] = owners[1:]
        return Window(torch.from_numpy(tokens), torch.from_numpy(real), torch.from_numpy(sources))

    def _span(self, start: int, end: int) -> tuple[Integers, Integers]:
        """Tokens [start, end) of the stream and the sources of their documents."""
        tokens, owners = [], []
        for number in range(int(np.searchsorted(self._ends, start, side="right")), len(self._ends)):
            base = int(self._ends[number]) - self.split.row_groups[number].tokens
            if base >= end:
                break
            here = slice(max(0, start - base), end - base)
            group_tokens, group_owners = self._group(number)
            tokens.append(group_tokens[here])
            owners.append(group_owners[here])
        return np.concatenate(tokens), np.concatenate(owners)

    def _read_group(self, number: int) -> tuple[Integers, Integers]:
        tokens = self.split.read(number).astype(np.int64)
        if not self.with_sources:
            return tokens, np.broadcast_to(np.int64(-1), tokens.shape)
        documents = self.split.documents(number)
        names = [self.sources.index(name) for name in documents.column("source").to_pylist()]
        return tokens, np.repeat(
            np.array(names, dtype=np.int64), documents.column("n_tokens").to_numpy()
        )

    def _count_sources(self) -> None:
        for number in range(len(self.split.row_groups)):
            documents = self.split.documents(number)
            for name, size in zip(
                documents.column("source").to_pylist(),
                documents.column("n_bytes").to_pylist(),
                strict=True,
            ):
                self.source_bytes[name] = self.source_bytes.get(name, 0) + size
        self.sources = sorted(self.source_bytes)


@torch.no_grad()
def validation_loss(
    model: nn.Module, windows: ValidationWindows, device: torch.device, group: dist.ProcessGroup
) -> float:
    """Mean nats a target over all ranks' windows, summed in float64; leaves the model in training.

    Collective, on two groups: each forward pass gathers FSDP's shards on the model's mesh, the sums
    meet on `group`. All ranks have equally many windows and so make equally many calls.
    """
    model.eval()
    totals = torch.zeros(2, dtype=torch.float64)  # nats, targets
    for window in windows:
        nats = token_losses(model, window.tokens.to(device)).cpu()[window.real]  # [real targets]
        totals += torch.tensor([nats.double().sum().item(), nats.numel()], dtype=torch.float64)
    dist.all_reduce(totals, group=group)
    if isinstance(model, FSDPModule):
        # FSDP keeps the root's weights whole after a forward pass, for the backward pass, which
        # does not come here. Left so, `named_parameters` would give whole tensors where the
        # checkpoint that may follow expects the shards that the optimizer knows.
        model.reshard()
    model.train()
    return float(totals[0] / totals[1])
