"""A sharded model after some updates, for the tests of checkpoints."""

import torch
from torch import Tensor, nn

from infra.parameters import build
from model.architectures import build_model, init_weights
from model.checkpoint.running import training_tensors
from model.config import ModelConfig, TrainParameters
from model.optim import build_optimizers
from model.parallelize import parallelize
from model.runtime import Processes

CONFIG = ModelConfig(vocab_size=61, context_tokens=16, layers=2, heads=2, width=32, ffn_width=48)


def training(
    processes: Processes, seed: int, steps: int = 2
) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
    """Model and optimizers after `steps` updates."""
    model = build_model(CONFIG)
    parallelize(model, processes.mesh, "fp32")
    init_weights(model, CONFIG, seed)
    optimizers = build_optimizers(model, build(TrainParameters, {}))
    for step in range(steps):
        tokens = torch.arange(16)[None] * (step + 3) % 61
        torch.autograd.backward(model(tokens).logsumexp(-1).sum())
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return model, optimizers


def copies(model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """All tensors of the training as they are now, whole."""
    tensors = training_tensors(model, optimizers)
    return {
        name: (t.full_tensor() if hasattr(t, "full_tensor") else t).clone()
        for name, t in tensors.items()
    }


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """The same names and, bit for bit, the same values."""
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )
