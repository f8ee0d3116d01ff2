"""Causal language modelling: predict each token from those before it.

In: tokens int64 [B, T + 1]. Out: the sum of the negative log-likelihoods (nats, fp32) of the last T
tokens of each sequence, and their number B T; a sum, so that micro-batches and processes add up to
the same gradient whatever their sizes.
"""

import torch
import torch.nn.functional as F
from torch import nn


def loss(model: nn.Module, tokens: torch.Tensor) -> tuple[torch.Tensor, int]:
    """(sum of nats, fp32 scalar with gradient; predicted tokens)."""
    return token_losses(model, tokens).sum(), tokens.shape[0] * (tokens.shape[1] - 1)


def token_losses(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Nats of each predicted token, fp32 [B, T]: entry t is that of tokens[:, t + 1]."""
    # One sequence is both, shifted by one: the model sees 0 .. T - 1 and is asked for 1 .. T. It
    # never sees the last token, and is never asked for the first.
    targets = tokens[:, 1:]  # [B, T]
    logits = model(tokens[:, :-1]).float()  # [B, T, V]
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(
        targets.shape
    )
