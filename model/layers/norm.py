"""RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467): x / rms(x) * weight over the last axis, computed in fp32, dtype kept."""

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
        """[..., width] -> [..., width]."""
        return F.rms_norm(x.float(), (self.width,), None, self.eps).to(x.dtype) * self.weight
