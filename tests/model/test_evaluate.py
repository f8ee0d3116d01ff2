"""Evaluation: the numbers are those of a plain computation over the whole split, per source they
add up, samples repeat."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact
from infra.manifest import SHORT
from infra.parameters import build
from infra.step import Task
from model import evaluate
from model.architectures import build_model, init_weights
from model.checkpoint.final import read_model
from model.config import EvaluateParameters, ModelConfig
from model.evaluations import EVALUATIONS
from model.steps import EVALUATE
from tests.model.artifacts import BYTES_VOCAB, Tokens, full, write_checkpoint

CONFIG = ModelConfig(
    vocab_size=BYTES_VOCAB,
    context_tokens=32,
    layers=1,
    heads=2,
    width=32,
    ffn_width=32,
    init_std=0.2,
)


def untrained_checkpoint(tokens: Tokens, tokenizer_digest: str) -> Artifact:
    """A checkpoints artifact with a random model in it."""
    model = build_model(CONFIG)
    init_weights(model, CONFIG, seed=1)
    inputs = {"tokens": full(tokens.tokens).digest, "tokenizer": tokenizer_digest}
    details = {"tokenizer": tokenizer_digest[:SHORT]}
    return write_checkpoint(tokens.lake, model, CONFIG, inputs, details)


def evaluate_task(tokens: Tokens, checkpoint: Artifact, **parameters: Any) -> Task:
    inputs = {
        "checkpoints": full(checkpoint),
        "tokens": full(tokens.tokens),
        "tokenizer": full(tokens.tokenizer),
    }
    chosen = build(
        EvaluateParameters,
        {"prompts": ["abc", ""], "sample_tokens": 12, "batch_sequences": 3, **parameters},
    )
    return Task(EVALUATE, tokens.lake, "demo", chosen, inputs)


@pytest.fixture
def checkpoint(tokens: Tokens) -> Artifact:
    return untrained_checkpoint(tokens, full(tokens.tokenizer).digest)


def plain_losses(checkpoint: Artifact, tokens: Tokens) -> tuple[torch.Tensor, np.ndarray]:
    """Nats of every target of the split, one window at a time, and the source of each."""
    model, _ = read_model(checkpoint)
    documents = [d for group in tokens.val for d in group]
    owners = [index % 2 for group in tokens.val for index, _ in enumerate(group)]
    stream = torch.from_numpy(np.concatenate(documents).astype(np.int64))
    sources = np.repeat(owners, [len(d) for d in documents])
    nats = []
    with torch.no_grad():
        for start in range(0, len(stream) - 1, CONFIG.context_tokens):
            window = stream[start : start + CONFIG.context_tokens + 1]
            nats.append(
                F.cross_entropy(model(window[None, :-1])[0], window[1:], reduction="none").double()
            )
    return torch.cat(nats), sources[1:]


def test_scores_are_those_of_a_plain_computation(tokens: Tokens, checkpoint: Artifact) -> None:
    task = evaluate_task(tokens, checkpoint)
    manifest = evaluate.run(task)
    nats, sources = plain_losses(checkpoint, tokens)
    split = tokens.tokens.require().details["splits"]["val"]
    details = manifest.details
    assert details["val_loss"] == pytest.approx(float(nats.mean()), rel=1e-6)
    assert details["perplexity"] == pytest.approx(math.exp(float(nats.mean())), rel=1e-5)
    assert details["val_bits_per_byte"] == pytest.approx(
        float(nats.sum()) / math.log(2) / split["bytes"], rel=1e-6
    )
    assert details["val_tokens"] == split["tokens"] - 1
    for index, name in enumerate(("web", "books")):
        assert details["per_source"][name]["val_loss"] == pytest.approx(
            float(nats[sources == index].mean()), rel=1e-6
        )
    assert sum(each["val_bytes"] for each in details["per_source"].values()) == split["bytes"]
    assert (
        json.loads(Path(task.artifact.file("scores.json")).read_bytes())["val_loss"]
        == details["val_loss"]
    )


def test_batch_size_changes_nothing_and_a_cap_measures_the_beginning(
    tokens: Tokens, checkpoint: Artifact
) -> None:
    nats, _ = plain_losses(checkpoint, tokens)
    capped = evaluate.run(
        evaluate_task(tokens, checkpoint, validate_tokens=100, batch_sequences=7)
    ).details
    assert capped["val_tokens"] == 100
    assert capped["val_loss"] == pytest.approx(float(nats[:100].mean()), rel=1e-6)


def test_samples_repeat_with_their_seed(tokens: Tokens, checkpoint: Artifact) -> None:
    def sample(**parameters: Any) -> list[dict[str, Any]]:
        task = evaluate_task(tokens, checkpoint, **parameters)
        evaluate.run(task)
        written: list[dict[str, Any]] = json.loads(
            storage.read_bytes(task.artifact.file("samples.json"))
        )
        return written

    first = sample(validate_tokens=64)
    assert [each["prompt"] for each in first] == ["abc", ""]
    assert [each["text"] for each in sample(validate_tokens=65)] == [each["text"] for each in first]
    assert [each["text"] for each in sample(seed=9)] != [each["text"] for each in first]


def test_a_model_of_another_tokenizer_is_refused_before_anything_is_written(tokens: Tokens) -> None:
    task = evaluate_task(tokens, untrained_checkpoint(tokens, "9" * 64))
    with pytest.raises(GristmillError, match="was trained with tokenizer 999999999999"):
        evaluate.run(task)
    assert storage.list_files(task.artifact.uri) == []


def test_every_evaluation_is_named_in_the_list() -> None:
    assert list(EVALUATIONS) == ["perplexity", "samples"]
