"""Learning rate over the steps, as a multiplier of the peak; pure functions of the step.

All warm up linearly over `warmup_steps` and end at `final_lr_fraction` after the last step.
cosine  half a cosine down (Loshchilov and Hutter 2016, arXiv:1608.03983)
wsd     level, then linear down over the last `decay_fraction` of the steps (Hu et al. 2024,
        MiniCPM, arXiv:2404.06395, section 4)
linear  linear down (Defazio et al. 2023, arXiv:2310.07831)
"""

import math
from collections.abc import Callable

from model.config import OptimizerParameters, TrainParameters


def cosine(progress: float, parameters: OptimizerParameters) -> float:
    """`progress` in [0, 1] after the warm-up -> [0, 1]."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def wsd(progress: float, parameters: OptimizerParameters) -> float:
    """`progress` in [0, 1] after the warm-up -> [0, 1]."""
    return (
        min(1.0, (1 - progress) / parameters.decay_fraction) if parameters.decay_fraction else 1.0
    )


def linear(progress: float, parameters: OptimizerParameters) -> float:
    """`progress` in [0, 1] after the warm-up -> [0, 1]."""
    return 1 - progress


SCHEDULES: dict[str, Callable[[float, OptimizerParameters], float]] = {
    "cosine": cosine,
    "wsd": wsd,
    "linear": linear,
}


def lr_at(step: int, parameters: TrainParameters) -> float:
    """The multiplier of every group's peak rate for the update number `step` (from 0)."""
    optimizer = parameters.optimizer
    if step < optimizer.warmup_steps:
        return (step + 1) / optimizer.warmup_steps
    rest = max(1, parameters.steps - optimizer.warmup_steps)
    progress = min(1.0, (step - optimizer.warmup_steps) / rest)
    level = SCHEDULES[optimizer.schedule](progress, optimizer)
    return optimizer.final_lr_fraction + (1 - optimizer.final_lr_fraction) * level
