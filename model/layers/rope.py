"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864), in the layout of Llama's released weights.

Channel i of a head is paired with channel i + head_width/2, and the pair is turned by position * theta^(-2i/head_width).
The tables are computed on every forward pass: T * head_width numbers, and no buffer that a meta device or a shard could lose.
"""

import torch


def rope_tables(
    length: int, head_width: int, theta: float, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, each fp32 [length, head_width]."""
    rates = theta ** (
        -torch.arange(0, head_width, 2, device=device, dtype=torch.float32) / head_width
    )
    angles = torch.outer(
        torch.arange(length, device=device, dtype=torch.float32), rates
    )  # [T, head_width / 2]
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def apply_rope(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn queries or keys [B, heads, T, head_width] by their positions; same shape and dtype."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return x * cos.to(x.dtype) + turned * sin.to(x.dtype)
