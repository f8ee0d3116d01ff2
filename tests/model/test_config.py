"""A training's parameters: impossible shapes are refused by field, changes leave the rest."""

import dataclasses

import pytest

from infra.errors import UsageError
from model.config import ModelConfig, TrainParameters


def test_parameters_changed_in_one_field_keep_the_others() -> None:
    parameters = dataclasses.replace(TrainParameters(), steps=7)
    assert parameters.steps == 7 and parameters.model == ModelConfig()


def test_impossible_shapes_are_refused_by_field() -> None:
    with pytest.raises(UsageError, match=r"model\.width: 30 "):
        ModelConfig(width=30, heads=4)
    with pytest.raises(UsageError, match=r"model\.kv_heads: 3 "):
        ModelConfig(heads=4, kv_heads=3)
    with pytest.raises(UsageError, match="below the tokens' vocabulary of 65"):
        ModelConfig(vocab_size=64).with_vocabulary(65)
