"""The causal objective: sums that add up over micro-batches, against the definition."""

import pytest
import torch

from model.architectures import build_model, init_weights
from model.config import ModelConfig
from model.objectives import OBJECTIVES
from model.objectives.causal import loss, token_losses

SMALL = ModelConfig(
    vocab_size=30, context_tokens=8, layers=1, heads=2, width=16, ffn_width=24, init_std=0.3
)


@pytest.fixture
def model() -> torch.nn.Module:
    """A small model with weights."""
    made = build_model(SMALL)
    init_weights(made, SMALL, 1)
    return made


def test_the_loss_is_the_negative_log_probability_of_the_next_token(model: torch.nn.Module) -> None:
    tokens = torch.tensor([[3, 1, 4, 1, 5]])
    with torch.no_grad():
        probabilities = model(tokens[:, :-1]).softmax(-1)
        expected = [-probabilities[0, t, tokens[0, t + 1]].log().item() for t in range(4)]
        assert token_losses(model, tokens)[0].tolist() == pytest.approx(expected, rel=1e-5)


def test_micro_batches_add_up_to_the_whole_batch(model: torch.nn.Module) -> None:
    tokens = torch.randint(30, (6, 9), generator=torch.Generator().manual_seed(0))
    whole, count = loss(model, tokens)
    parts = [loss(model, part) for part in torch.split(tokens, 4)]
    assert sum(n for _, n in parts) == count == 48
    assert sum(nats.item() for nats, _ in parts) == pytest.approx(whole.item(), rel=1e-6)


def test_all_objectives_share_one_signature(model: torch.nn.Module) -> None:
    for objective in OBJECTIVES.values():
        nats, count = objective(model, torch.zeros(2, 5, dtype=torch.int64))
        assert nats.dtype == torch.float32 and nats.ndim == 0 and isinstance(count, int)
