"""Sampling: deterministic, within top_k, within the context, ended by the end-of-text token."""

import dataclasses
import json
import sys
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from infra.process import run
from model.architectures import build_model, init_weights
from model.config import ModelConfig
from model.generate import choose, generate
from tests.model.artifacts import BYTES_VOCAB, Tokens, write_checkpoint

SMALL = ModelConfig(
    vocab_size=50, context_tokens=8, layers=1, heads=2, width=16, ffn_width=24, init_std=0.5
)
ROOT = Path(__file__).parents[2]


class Counting(nn.Module):
    """Always expects the successor of the last token; remembers how long its inputs were."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits with one certain token."""
        self.lengths.append(tokens.shape[1])
        return nn.functional.one_hot((tokens + 1) % 50, 50).float() * 100


def test_the_same_seed_writes_the_same_text_and_another_seed_another() -> None:
    model = build_model(SMALL)
    init_weights(model, SMALL, 1)
    texts = [
        generate(model, torch.tensor([3]), 20, context_tokens=8, seed=seed).tolist()
        for seed in (5, 5, 6)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_it_continues_the_prompt_and_stops_before_the_stop_token() -> None:
    assert generate(Counting(), torch.tensor([3, 4]), 20, context_tokens=8, stop_id=9).tolist() == [
        3,
        4,
        5,
        6,
        7,
        8,
    ]


def test_the_model_never_sees_more_than_its_context() -> None:
    model = Counting()
    generate(model, torch.tensor([0, 1, 2, 3, 4, 5]), 6, context_tokens=8)
    assert model.lengths == [6, 7, 8, 8, 8, 8]


@settings(deadline=None)
@given(st.integers(1, 5), st.floats(0.1, 5), st.integers(0, 1000))
def test_a_sample_is_among_the_top_k(top_k: int, temperature: float, seed: int) -> None:
    logits = torch.tensor([0.0, 3.0, 1.0, 2.0, 4.0, -1.0])
    chosen = choose(logits, temperature, top_k, torch.Generator().manual_seed(seed))
    assert chosen in [4, 1, 3, 2, 0][:top_k]


def test_temperature_zero_takes_the_likeliest() -> None:
    assert choose(torch.tensor([0.0, 2.0, 1.0]), 0, 0, torch.Generator()) == 1


def test_the_child_process_answers_with_the_continuation(tokens: Tokens, tmp_path: Path) -> None:
    shape = dataclasses.replace(SMALL, vocab_size=BYTES_VOCAB)
    model = build_model(shape)
    init_weights(model, shape, 1)
    inputs = {
        "tokens": tokens.tokens.require().digest,
        "tokenizer": tokens.tokenizer.require().digest,
    }
    checkpoint = write_checkpoint(tokens.lake, model, shape, inputs, {})
    place = [checkpoint.lake_root, "checkpoints", "default", checkpoint.digest]
    request = {
        "checkpoint": place,
        "prompt": "ab",
        "max_tokens": 5,
        "temperature": 0.8,
        "top_k": 50,
        "seed": 1,
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    command = [sys.executable, "-m", "model.generate", str(tmp_path / "request.json")]
    events = list(run(command, tmp_path / "log", "generate", {"PYTHONPATH": str(ROOT)}))
    assert [event["event"] for event in events] == ["progress"] * 5 + ["generated"]
    assert isinstance(events[-1]["text"], str)
