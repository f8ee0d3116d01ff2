"""Presets have the size that they are named for."""

import pytest
import torch

from model.architectures import build_model, parameter_count
from model.presets import PRESETS


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
