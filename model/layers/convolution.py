"""Causal depthwise convolution with a residual: each channel adds a mix of its own last tokens.

The Canon layer of Allen-Zhu 2025 (Physics of Language Models, part 4.1, section 3); So et al. 2021
(Primer, arXiv:2109.08668) put a like one after the projections of attention. Attention and
feed-forward then see short contexts without having to learn to look back, which matters most for
small models and short trainings. Weights: D C.
"""

import torch
import torch.nn.functional as F
from torch import nn


class CausalConvolution(nn.Module):
    """x[t] + sum over i < C of taps[C - 1 - i] * x[t - i], a channel at a time.

    The identity while the taps are 0, which is their first value.
    """

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.zeros(width, 1, tokens))  # [D, 1, C], the newest token last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, D] -> [B, T, D]."""
        before = self.taps.shape[-1] - 1  # zeros on the left alone: nothing looks ahead
        padded = F.pad(x.transpose(1, 2), (before, 0))  # [B, D, C - 1 + T]
        return x + F.conv1d(padded, self.taps, groups=x.shape[-1]).transpose(1, 2)
