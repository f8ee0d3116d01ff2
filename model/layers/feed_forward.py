"""Feed-forward layers: what a block does to each position alone. FEED_FORWARDS names them.

swiglu  down(silu(gate(x)) * up(x)), Shazeer 2020, arXiv:2002.05202; 3 D F weights
relu2   down(relu(up(x))^2), So et al. 2021 (Primer), arXiv:2109.08668; 2 D F weights
"""

import torch
import torch.nn.functional as F
from torch import nn


class SwiGLU(nn.Module):
    """Gated linear unit with SiLU."""

    def __init__(self, width: int, ffn_width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, ffn_width, bias=False)
        self.up = nn.Linear(width, ffn_width, bias=False)
        self.down = nn.Linear(ffn_width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, D] -> [B, T, D]."""
        out: torch.Tensor = self.down(F.silu(self.gate(x)) * self.up(x))  # down of [B, T, F]
        return out


class SquaredReLU(nn.Module):
    """Two matrices with a squared ReLU between them."""

    def __init__(self, width: int, ffn_width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, ffn_width, bias=False)
        self.down = nn.Linear(ffn_width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, D] -> [B, T, D]."""
        out: torch.Tensor = self.down(F.relu(self.up(x)).square())  # down of [B, T, F]
        return out


FEED_FORWARDS: dict[str, type[SwiGLU] | type[SquaredReLU]] = {
    "swiglu": SwiGLU,
    "relu2": SquaredReLU,
}
