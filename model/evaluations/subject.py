"""What an evaluation gets and gives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from infra.lake import Artifact
from model.config import EvaluateParameters, ModelConfig


@dataclass(frozen=True)
class Subject:
    """A trained model and what belongs to it.

    model  whole, on `device`, in evaluation mode
    told   to be told how much is done: done, total, unit
    """

    model: nn.Module
    config: ModelConfig
    device: torch.device
    tokens: Artifact
    tokenizer: Artifact
    parameters: EvaluateParameters
    told: Callable[[int, int, str], None] = lambda done, total, unit: None


@dataclass(frozen=True)
class Outcome:
    """What an evaluation found.

    details  numbers for the manifest
    rows     validation targets or prompts worked on
    files    name -> JSON content
    """

    details: dict[str, Any]
    rows: int = 0
    files: dict[str, Any] = field(default_factory=dict)
