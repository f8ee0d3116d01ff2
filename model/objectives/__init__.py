"""Training objectives by name: loss(model, int64 [B, T + 1]) -> (sum of nats, predicted tokens)."""

from collections.abc import Callable

import torch
from torch import nn

from model.objectives import causal

Objective = Callable[[nn.Module, torch.Tensor], tuple[torch.Tensor, int]]
OBJECTIVES: dict[str, Objective] = {"causal": causal.loss}
