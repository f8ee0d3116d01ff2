"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864), in the layout of Llama's weights.

Channel i of a head is paired with channel i + N / 2, and the pair (a, b) is turned like a point in
the plane by the angle position * theta^(-2 i / N): (a cos - b sin, b cos + a sin). The paper pairs
neighbours, 2 i with 2 i + 1; released weights fit one pairing only.

The tables are computed on every forward pass: T N numbers, and no buffer that a meta device or a
shard could lose.
"""

import torch


def rope_tables(
    length: int, head_width: int, theta: float, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, each fp32 [T, N], T = `length`, N = `head_width`."""
    even = torch.arange(0, head_width, 2, device=device, dtype=torch.float32)
    rates = theta ** (-even / head_width)  # [N / 2]
    positions = torch.arange(length, device=device, dtype=torch.float32)  # [T]
    angles = torch.outer(positions, rates)  # [T, N / 2]
    angles = torch.cat([angles, angles], dim=-1)  # [T, N]: both channels of a pair turn alike
    return angles.cos(), angles.sin()


def apply_rope(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn queries or keys [B, H, T, N] by their positions; same shape and dtype."""
    first, second = x.chunk(2, dim=-1)  # [B, H, T, N / 2] each: a and b of all pairs
    # (a, b) a quarter turn on is (-b, a); any turn is cos of the pair plus sin of that
    turned = torch.cat([-second, first], dim=-1)  # [B, H, T, N]
    return x * cos.to(x.dtype) + turned * sin.to(x.dtype)
