"""Decoder-only transformer: pre-norm blocks, RMSNorm, rotary positions, no biases.

Llama's shape (Touvron et al. 2023, arXiv:2302.13971), Qwen3's where `qk_norm` is on. `blocks` is a
ModuleList, each of them a unit for FSDP2; embedding, last norm and head belong to the root. There
are no buffers: the model can be built on the meta device.
"""

import torch
import torch.nn.functional as F
from torch import nn

from model.config import ModelConfig
from model.layers.attention import Attention
from model.layers.convolution import CausalConvolution
from model.layers.feed_forward import FEED_FORWARDS
from model.layers.norm import RMSNorm
from model.layers.rope import rope_tables


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)).

    With `conv_tokens` a causal convolution follows each norm.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention_conv = (
            CausalConvolution(config.width, config.conv_tokens)
            if config.conv_tokens
            else nn.Identity()
        )
        self.attention = Attention(config)
        self.feed_forward_norm = RMSNorm(config.width, config.norm_eps)
        self.feed_forward_conv = (
            CausalConvolution(config.width, config.conv_tokens)
            if config.conv_tokens
            else nn.Identity()
        )
        self.feed_forward = FEED_FORWARDS[config.ffn](config.width, config.ffn_width)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """[B, T, D] -> [B, T, D]; `cos`, `sin`: [T, N] of `rope_tables`."""
        x = x + self.attention(self.attention_conv(self.attention_norm(x)), cos, sin)
        out: torch.Tensor = x + self.feed_forward(self.feed_forward_conv(self.feed_forward_norm(x)))
        return out


class Decoder(nn.Module):
    """Tokens to the logits of the token that follows each of them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.head = None if config.tied else nn.Linear(config.width, config.vocab_size, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """int64 [B, T] -> logits [B, T, V]; position t sees the tokens up to t."""
        x = self.embedding(tokens)  # [B, T, D]
        cos, sin = rope_tables(
            tokens.shape[1], self.config.head_width, self.config.rope_theta, tokens.device
        )  # [T, N] each
        for block in self.blocks:
            x = block(x, cos, sin)
        weight = self.embedding.weight if self.head is None else self.head.weight  # [V, D]
        return F.linear(self.norm(x), weight)
