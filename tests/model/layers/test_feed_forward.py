"""Feed-forward layers against their definitions."""

import torch

from model.config import ModelConfig
from model.layers.feed_forward import FEED_FORWARDS, SquaredReLU, SwiGLU

X = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))


def test_swiglu_gates_with_silu() -> None:
    layer = SwiGLU(8, 12)
    gate, up, down = (m.weight.detach() for m in (layer.gate, layer.up, layer.down))
    opened = X @ gate.T
    expected = (opened * opened.sigmoid() * (X @ up.T)) @ down.T
    with torch.no_grad():
        torch.testing.assert_close(layer(X), expected)


def test_squared_relu_squares_what_is_positive() -> None:
    layer = SquaredReLU(8, 12)
    up, down = layer.up.weight.detach(), layer.down.weight.detach()
    expected = (X @ up.T).clamp(min=0) ** 2 @ down.T
    with torch.no_grad():
        torch.testing.assert_close(layer(X), expected)


def test_the_default_is_one_of_the_named() -> None:
    assert ModelConfig().ffn in FEED_FORWARDS
