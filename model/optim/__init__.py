"""Optimizers: Muon for the matrices inside the blocks, AdamW for everything else.

Everything else is embedding [V, D], head [V, D], gains [D] or [N], taps [D, 1, C]: rows of the
first two belong to tokens, of which a batch holds few, and the rest are no matrices.
"""

import torch
from torch import nn

from model.config import TrainParameters
from model.optim.muon import Muon
from model.optim.schedules import lr_at

__all__ = ["Muon", "build_optimizers", "lr_at", "set_rate"]


def build_optimizers(model: nn.Module, parameters: TrainParameters) -> list[torch.optim.Optimizer]:
    """[Muon, AdamW] over all parameters, in the model's order.

    Each group keeps its peak rate under `peak_lr`. Only matrices decay. Call after the model is
    sharded: sharding puts other parameters (DTensor) in the place of those before.
    """
    chosen = parameters.optimizer
    matrices: list[nn.Parameter] = []
    heads: list[nn.Parameter] = []
    tables: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.ndim != 2:
            vectors.append(parameter)
        elif name.startswith("blocks."):
            matrices.append(parameter)
        else:
            (heads if name.startswith("head.") else tables).append(parameter)
    muon = Muon(
        matrices, chosen.muon_lr, chosen.muon_momentum, chosen.weight_decay, chosen.muon_iterations
    )
    groups = [
        {"params": tables, "lr": chosen.adamw_lr, "weight_decay": chosen.weight_decay},
        {
            "params": heads,
            "lr": chosen.head_lr or chosen.adamw_lr,
            "weight_decay": chosen.weight_decay,
        },
        {"params": vectors, "lr": chosen.adamw_lr, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        betas=(chosen.beta1, chosen.beta2),
        eps=chosen.adamw_eps,
        foreach=False,
    )
    optimizers: list[torch.optim.Optimizer] = [muon, adamw]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def set_rate(optimizers: list[torch.optim.Optimizer], multiplier: float) -> None:
    """Set every group's rate to its peak times `multiplier` (of `lr_at`)."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * multiplier
