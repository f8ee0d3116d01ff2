"""Every named architecture can be built; first weights depend on seed and name alone."""

import dataclasses

import pytest
import torch

from infra.errors import UsageError
from infra.parameters import build, plain
from model.architectures import ARCHITECTURES, build_model, init_weights, initial_tensor
from model.config import ModelConfig

SMALL = ModelConfig(
    vocab_size=50, context_tokens=16, layers=2, heads=4, width=32, ffn_width=48, init_std=0.2
)


def made(config: ModelConfig, seed: int = 1) -> torch.nn.Module:
    model = build_model(config)
    init_weights(model, config, seed)
    return model


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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_named_architecture_can_be_configured(architecture: str) -> None:
    config = build(ModelConfig, {**plain(SMALL), "architecture": architecture})
    with torch.no_grad():
        assert made(config)(torch.zeros(1, 3, dtype=torch.int64)).shape == (1, 3, 50)


def test_a_model_without_a_vocabulary_is_refused() -> None:
    with pytest.raises(UsageError, match=r"model\.vocab_size"):
        build_model(ModelConfig())
