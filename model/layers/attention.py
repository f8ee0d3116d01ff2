"""Causal self-attention with rotary positions, grouped queries and optional QK-norm.

Grouped queries (Ainslie et al. 2023, arXiv:2305.13245): H heads of queries share K heads of keys
and values, H / K to one. QK-norm (Dehghani et al. 2023, arXiv:2302.05442, section 2) is an RMSNorm
over each head of queries and keys before the rotation, with one gain a channel that the heads
share, as in Qwen3.
"""

import torch
import torch.nn.functional as F
from torch import nn

from model.config import ModelConfig
from model.layers.norm import RMSNorm
from model.layers.rope import apply_rope


class Attention(nn.Module):
    """Each position attends to itself and what is before it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_width = (
            config.heads,
            config.key_value_heads,
            config.head_width,
        )
        self.query = nn.Linear(config.width, config.width, bias=False)
        self.key = nn.Linear(config.width, self.kv_heads * self.head_width, bias=False)
        self.value = nn.Linear(config.width, self.kv_heads * self.head_width, bias=False)
        self.output = nn.Linear(config.width, config.width, bias=False)
        self.query_norm = RMSNorm(self.head_width, config.norm_eps) if config.qk_norm else None
        self.key_norm = RMSNorm(self.head_width, config.norm_eps) if config.qk_norm else None

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """[B, T, D] -> [B, T, D]; `cos`, `sin`: [T, N] of `rope_tables`."""
        batch, length, width = x.shape
        queries = (batch, length, self.heads, self.head_width)
        pairs = (batch, length, self.kv_heads, self.head_width)
        q = self.query(x).view(queries).transpose(1, 2)  # [B, H, T, N]
        k = self.key(x).view(pairs).transpose(1, 2)  # [B, K, T, N]
        v = self.value(x).view(pairs).transpose(1, 2)  # [B, K, T, N]
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        q, k = apply_rope(q, cos, sin), apply_rope(k, cos, sin)
        mixed = F.scaled_dot_product_attention(
            q, k, v, is_causal=True, enable_gqa=self.kv_heads != self.heads
        )  # [B, H, T, N]
        out: torch.Tensor = self.output(mixed.transpose(1, 2).reshape(batch, length, width))
        return out
