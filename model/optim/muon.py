"""Muon: momentum, replaced by the nearest semi-orthogonal matrix (Keller Jordan et al. 2024,
kellerjordan.github.io/posts/muon).

For each matrix [rows, columns]: a Nesterov momentum of the gradient, five Newton-Schulz iterations
towards U V^T of its singular value decomposition, times sqrt(max(1, rows / columns)).

Why the matrix is gathered. FSDP2 shards it by rows, and momentum is kept so: it is computed number
by number. Orthogonalisation is not: each number of U V^T depends on all of the matrix, and shards
orthogonalised alone are another optimizer, one that changes with the number of processes. So the
direction is gathered whole, every process computes the same update and keeps its own shard: the
result does not depend on their number beyond rounding. The only state is the momentum, a tensor of
the parameter's own kind. It costs one all-gather and 5 * 3 matrix products a matrix and step.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.distributed.tensor import DTensor, distribute_tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: torch.Tensor, iterations: int) -> torch.Tensor:
    """[rows, columns] -> the same shape with singular values in about [0.7, 1.2].

    Inside bf16 on CUDA, fp32 elsewhere.
    """
    a, b, c = COEFFICIENTS
    x = matrix.to(torch.bfloat16 if matrix.is_cuda else torch.float32)
    tall = x.shape[0] > x.shape[1]
    if tall:  # x @ x.T below is then the smaller of the two squares
        x = x.T
    x = x / (x.norm() + 1e-7)  # the iteration needs singular values of at most 1
    for _ in range(iterations):
        square = x @ x.T  # [shorter side, shorter side]
        x = a * x + (b * square + c * square @ square) @ x
    result: torch.Tensor = (x.T if tall else x).to(matrix.dtype)
    return result


class Muon(torch.optim.Optimizer):
    """Muon over 2-dimensional parameters.

    Groups may override `lr`, `momentum`, `weight_decay`, `iterations`.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        iterations: int = 5,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "iterations": iterations,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient.

        Collective where parameters are sharded: each is an all-gather, and all ranks walk the
        parameters in the same order, that of the groups.
        """
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                direction = parameter.grad.lerp(state["momentum"], group["momentum"])
                update = self._update(direction, group["iterations"])
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"])

    @staticmethod
    def _update(direction: torch.Tensor, iterations: int) -> torch.Tensor:
        whole: torch.Tensor = (
            direction.full_tensor() if isinstance(direction, DTensor) else direction
        )  # [rows, columns]
        update: torch.Tensor = (
            orthogonalise(whole, iterations) * max(1.0, whole.shape[0] / whole.shape[1]) ** 0.5
        )
        if isinstance(direction, DTensor):
            update = distribute_tensor(
                update, direction.device_mesh, direction.placements, src_data_rank=None
            )
        return update
