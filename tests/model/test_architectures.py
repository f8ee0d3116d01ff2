"""The decoder's behaviour, and first weights that depend on seed and name alone."""

import dataclasses

import pytest
import torch

from infra.errors import UsageError
from model.architectures import (
    ARCHITECTURES,
    build_model,
    init_weights,
    initial_tensor,
    parameter_count,
)
from model.config import ModelConfig
from model.presets import PRESETS

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


def test_a_models_first_weights_are_a_function_of_seed_and_name() -> None:
    first, again, other = (dict(made(SMALL, seed).named_parameters()) for seed in (1, 1, 2))
    wider_vocabulary = dict(made(dataclasses.replace(SMALL, vocab_size=70)).named_parameters())
    for name, parameter in first.items():
        assert torch.equal(parameter, again[name])
        assert name == "embedding.weight" or torch.equal(parameter, wider_vocabulary[name])
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_what_writes_into_the_residual_stream_starts_smaller() -> None:
    deep = dataclasses.replace(SMALL, layers=8)
    read = initial_tensor("blocks.0.attention.query.weight", (200, 200), deep, 1).std()
    written = initial_tensor("blocks.0.attention.output.weight", (200, 200), deep, 1).std()
    assert written / read == pytest.approx(0.25, rel=0.05)


def test_a_model_can_be_built_on_the_meta_device_and_filled_later() -> None:
    with torch.device("meta"):
        model = build_model(SMALL)
    assert not list(model.buffers())
    model.to_empty(device="cpu")
    init_weights(model, SMALL, 1)
    tokens = torch.arange(16)[None]
    with torch.no_grad():
        assert torch.equal(model(tokens), made(SMALL)(tokens))


@pytest.mark.parametrize(
    ("preset", "vocabulary", "least", "most"),
    [
        ("tiny", 4096, 1e6, 3e6),
        ("shakespeare_char", 65, 0.80e6, 0.85e6),
        ("gpt2_small", 50304, 120e6, 128e6),
        ("llama_7b", 32000, 6.73e9, 6.74e9),
    ],
)
def test_presets_have_the_size_they_are_named_for(
    preset: str, vocabulary: int, least: float, most: float
) -> None:
    with torch.device("meta"):
        model = build_model(PRESETS[preset].train().model.with_vocabulary(vocabulary))
    assert least <= parameter_count(model) <= most


def test_every_named_architecture_can_be_configured() -> None:
    for name in ARCHITECTURES:
        assert build_model(dataclasses.replace(SMALL, architecture=name)) is not None


def test_impossible_shapes_are_refused_by_field() -> None:
    with pytest.raises(UsageError, match=r"model\.width: 30 "):
        ModelConfig(width=30, heads=4)
    with pytest.raises(UsageError, match=r"model\.kv_heads: 3 "):
        ModelConfig(heads=4, kv_heads=3)
    with pytest.raises(UsageError, match=r"model\.vocab_size"):
        build_model(ModelConfig())
    with pytest.raises(UsageError, match="below the tokens' vocabulary of 65"):
        ModelConfig(vocab_size=64).with_vocabulary(65)
