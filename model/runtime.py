"""The processes of a model step: how one starts, how many there are, and when they must stop.

`python -m model.<step> TASK.json` alone or under torchrun. A rank dies with torchrun, and stops when the process that owns the tree
is gone; SIGTERM is only noted, and all ranks agree at the end of a step whether it came.
"""

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from infra.errors import GristmillError
from infra.manifest import Manifest
from infra.process import die_with_parent, emit, emit_failure, owner_is_gone
from infra.step import Step, Task


def main(step: Step, run: Callable[[Task], Manifest | None]) -> None:
    """Run the task in the JSON file that the command line names; its outcome is an event on standard output."""
    die_with_parent(signal.SIGKILL)
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: python -m {step.module} TASK.json")
    task = Task.from_request(step, json.loads(Path(sys.argv[1]).read_bytes()))
    try:
        manifest = run(task)
    except GristmillError as error:
        emit_failure(error)
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
    if manifest is not None and int(os.environ.get("RANK", "0")) == 0:
        emit("result", digest=manifest.digest)


@dataclass(frozen=True)
class Processes:
    """The training's processes as this one sees them. control: small messages, on the CPU; checkpoint: the background saver's own."""

    rank: int
    world: int
    device: torch.device
    mesh: DeviceMesh
    control: dist.ProcessGroup
    checkpoint: dist.ProcessGroup


def start_processes() -> Processes:
    """Join torchrun's group, or be a group of one without torchrun. gloo on the CPU, with nccl beside it where there is CUDA."""
    warnings.filterwarnings(
        "ignore", message="torch.distributed.*(barrier|device_id)", category=UserWarning
    )
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    local_world = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local_rank)
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if "OMP_NUM_THREADS" not in os.environ or local_world > 1:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // local_world))
    if local_world == world and sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    if "RANK" in os.environ:
        dist.init_process_group(backend, device_id=device if cuda else None)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    return Processes(
        dist.get_rank(),
        dist.get_world_size(),
        device,
        mesh,
        dist.new_group(backend="gloo"),
        dist.new_group(backend="gloo"),
    )


class Interruption:
    """Notes SIGTERM from its construction on. A rank whose owner was killed ends at once: it must not write beside its successor."""

    def __init__(self) -> None:
        self._came = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = True

    def agreed(self, group: dist.ProcessGroup) -> bool:
        """Whether it came to any rank; all ranks get the same answer. Collective."""
        if owner_is_gone():
            os._exit(1)
        flag = torch.tensor([int(self._came)])
        dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=group)
        return bool(flag.item())
