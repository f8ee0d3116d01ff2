"""What depends on how the model is spread over processes: sharding, precision, gradients' sum and
norm.

`parallelize` is the one place where a transformation is added, in this order, because each needs to
see the one before:
 1. tensor parallel           splits the modules' own weights: before anything wraps them
 2. activation checkpointing  wraps blocks; inside compile, which then sees the recomputation
 3. compile                   block by block, so that equal blocks share one compilation
 4. FSDP2                     shards what is left: each block, then the root (embedding, last norm,
                              head); last, because what it shards must have its final form
Only the last is built. It runs with one process too, so that there is one way (FSDP2: Zhao et al.
2023, arXiv:2304.11277, and PyTorch's `fully_shard`).

Sums of gradients. fp32: gradients of micro-batches are added unsharded in float64 and reduced once
a step in float64, so that the sum, rounded to fp32, does not depend on how micro-batches are spread
over processes (8 bytes a parameter more; these models are small). bf16: each micro-batch is reduced
in fp32 into the shards, which keeps memory sharded.

Collective calls: every forward pass gathers weights block by block, every backward pass gathers
them again and reduces gradients, on the mesh's group. All ranks must run equally many of both, in
the same order; a rank that computes one batch less leaves the others waiting.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

POLICIES = {
    "fp32": MixedPrecisionPolicy(reduce_dtype=torch.float64),
    "bf16": MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32),
}


def parallelize(model: nn.Module, mesh: DeviceMesh, precision: str) -> nn.Module:
    """Shard `model` in place over the mesh's processes; gradients are summed, not averaged.

    Call on the meta device, then `to_empty` and `init_weights`: no process ever holds all weights.
    """
    policy = POLICIES[precision]
    blocks: Iterable[nn.Module] = model.blocks  # type: ignore[assignment]
    # Blocks before the root: a call shards the parameters that no call before it has, so that each
    # block is gathered when its turn comes, and the root is left with embedding, norm and head.
    for block in blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # The loss is divided by the global batch's tokens: the sum over ranks is the gradient.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return model


def reduce_gradients_after(model: nn.Module, precision: str, *, last: bool) -> None:
    """Say before a backward pass whether it ends with the reduction over processes.

    last   this is the step's last micro-batch
    """
    assert isinstance(model, FSDPModule)
    model.set_requires_gradient_sync(last or precision != "fp32")


@torch.no_grad()
def clip_gradients(model: nn.Module, limit: float, group: dist.ProcessGroup) -> torch.Tensor:
    """Scale all gradients so that their common norm is at most `limit` (0: never).

    The norm before, float64 scalar. Squares are summed in float64: the norm is the same for any
    number of processes to about 1e-16. Collective.
    """
    gradients = [
        p.grad.to_local()  # type: ignore[attr-defined]
        for p in model.parameters()
        if p.grad is not None
    ]
    square = torch.stack([g.double().square().sum() for g in gradients]).sum()
    dist.all_reduce(square, group=group)
    norm = square.sqrt()
    if limit:
        scale = (limit / (norm + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.to(gradient.dtype))
    return norm
