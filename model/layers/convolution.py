"""Causal depthwise convolution with a residual: each channel adds a learned mix of its own last few tokens.

The Canon layer of Allen-Zhu 2025 (Physics of Language Models, part 4.1, section 3); So et al. 2021 (Primer, arXiv:2109.08668) put
a like one after the projections of attention. Attention and feed-forward then see short contexts without having to learn to look
back, which matters most for small models and short trainings. Weights: width * tokens.
"""

import torch
import torch.nn.functional as F
from torch import nn


class CausalConvolution(nn.Module):
    """x[t] + sum over i < tokens of taps[i] * x[t - i]; the identity while the taps are 0, their first value."""

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.zeros(width, 1, tokens))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, width] -> [B, T, width]."""
        padded = F.pad(
            x.transpose(1, 2), (self.taps.shape[-1] - 1, 0)
        )  # [B, width, tokens - 1 + T]
        return x + F.conv1d(padded, self.taps, groups=x.shape[-1]).transpose(1, 2)
