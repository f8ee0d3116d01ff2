"""The decoder sees what came before, in its order, and nothing after; all of it learns."""

import dataclasses

import pytest
import torch

from model.architectures import build_model, init_weights
from model.config import ModelConfig

SMALL = ModelConfig(
    vocab_size=50, context_tokens=16, layers=2, heads=4, width=32, ffn_width=48, init_std=0.2
)
VARIANTS = {
    "plain": SMALL,
    "grouped": dataclasses.replace(SMALL, kv_heads=2, qk_norm=False),
    "relu2": dataclasses.replace(SMALL, ffn="relu2", tied=False),
    "convolution": dataclasses.replace(SMALL, conv_tokens=3),
}


def made(config: ModelConfig, seed: int = 1) -> torch.nn.Module:
    """The model with weights, convolutions' taps away from 0 so that they matter."""
    model = build_model(config)
    init_weights(model, config, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("taps"):
                parameter.fill_(0.3)
    return model


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_a_position_sees_nothing_after_it(config: ModelConfig) -> None:
    model = made(config)
    tokens = torch.arange(16)[None]
    other = tokens.clone()
    other[0, 9:] += 7
    with torch.no_grad():
        torch.testing.assert_close(model(tokens)[:, :9], model(other)[:, :9])
        assert not torch.allclose(model(tokens)[:, 9:], model(other)[:, 9:])


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_every_parameter_gets_a_gradient(config: ModelConfig) -> None:
    model = made(config)
    model(
        torch.randint(50, (2, 16), generator=torch.Generator().manual_seed(0))
    ).square().mean().backward()
    assert [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()
    ] == []


def test_the_order_of_earlier_tokens_matters_only_through_positions() -> None:
    model = made(SMALL)
    with torch.no_grad():
        assert not torch.allclose(
            model(torch.tensor([[1, 2, 3]]))[0, -1], model(torch.tensor([[2, 1, 3]]))[0, -1]
        )
