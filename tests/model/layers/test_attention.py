"""Attention: against its definition, and grouped queries against keys and values repeated."""

import dataclasses
import math

import pytest
import torch

from model.config import ModelConfig
from model.layers.attention import Attention
from model.layers.rope import apply_rope, rope_tables

CONFIG = ModelConfig(width=32, heads=4, kv_heads=2, qk_norm=False)


def plain(layer: Attention, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Head by head, position by position."""
    width, share = layer.head_width, layer.heads // layer.kv_heads
    heads = []
    for head in range(layer.heads):
        mine = slice(head * width, (head + 1) * width)
        shared = slice(head // share * width, (head // share + 1) * width)
        q, k, v = layer.query(x)[..., mine], layer.key(x)[..., shared], layer.value(x)[..., shared]
        if layer.query_norm is not None and layer.key_norm is not None:
            q, k = layer.query_norm(q), layer.key_norm(k)
        q, k = (apply_rope(each[:, None], cos, sin)[:, 0] for each in (q, k))
        scores = q @ k.transpose(1, 2) / math.sqrt(width)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        heads.append(scores.masked_fill(later, -torch.inf).softmax(-1) @ v)
    out: torch.Tensor = layer.output(torch.cat(heads, dim=-1))
    return out


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_attention_is_what_its_definition_says(kv_heads: int, qk_norm: bool) -> None:
    torch.manual_seed(0)
    layer = Attention(dataclasses.replace(CONFIG, kv_heads=kv_heads, qk_norm=qk_norm))
    x = torch.randn(2, 7, 32)
    cos, sin = rope_tables(7, layer.head_width, 10000.0, x.device)
    with torch.no_grad():
        torch.testing.assert_close(layer(x, cos, sin), plain(layer, x, cos, sin))
