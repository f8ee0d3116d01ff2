"""RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467): x / rms(x) * weight over the last axis.

Computed in fp32: in bf16 the mean of squares would keep 8 bits. The input's dtype is kept.
"""

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    """Root-mean-square normalisation of the last axis, with a learned gain that starts at 1."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.width = width
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., D] -> [..., D]; over a head [..., N] -> [..., N]."""
        return F.rms_norm(x.float(), (self.width,), None, self.eps).to(x.dtype) * self.weight
