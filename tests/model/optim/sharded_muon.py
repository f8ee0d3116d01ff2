"""Run by test_muon on 2 processes: Muon on a matrix sharded by rows, beside the same one whole."""

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from infra.process import emit
from model.optim.muon import Muon
from model.runtime import start_processes


def main() -> None:
    """Three steps on both; rank 0 tells the largest difference."""
    mesh = start_processes().mesh
    generator = torch.Generator().manual_seed(0)
    whole = torch.nn.Parameter(torch.randn(9, 12, generator=generator))  # 9 rows on 2
    sharded = torch.nn.Parameter(distribute_tensor(whole.detach().clone(), mesh, [Shard(0)]))
    alone, together = (
        Muon([whole], lr=0.1, weight_decay=0.1),
        Muon([sharded], lr=0.1, weight_decay=0.1),
    )
    for _ in range(3):
        whole.grad = torch.randn(9, 12, generator=generator)
        sharded.grad = distribute_tensor(whole.grad.clone(), mesh, [Shard(0)])
        alone.step()
        together.step()
    assert isinstance(sharded, DTensor)
    difference = (sharded.full_tensor() - whole).abs().max().item()
    if dist.get_rank() == 0:
        emit(
            "compared",
            difference=difference,
            state=type(together.state[sharded]["momentum"]).__name__,
        )
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
