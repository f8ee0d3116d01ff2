"""The processes of a model step: how one starts, how many there are, and when they must stop.

`python -m model.<step> TASK.json` alone, or several by `model.launch`. A rank dies with the process
that started it, and stops when the process that owns the tree is gone; SIGTERM is only noted, and
all ranks agree at the end of a step whether it came.
"""

import json
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore, HashStore, Store  # where dist has them from
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from infra.errors import GristmillError
from infra.failures import failure_in
from infra.manifest import Manifest
from infra.owner import die_with_parent, owner_is_gone
from infra.process import emit, emit_failure
from infra.step import Step, Task

STORE = "GRISTMILL_PROCESS_STORE"
"""Environment: the file in which the processes of one training find each other."""
OF_A_PEER = re.compile("gloo|NCCL|nccl")
"""What a collective call says when another process of the group is gone."""


def main(step: Step, run: Callable[[Task], Manifest | None]) -> None:
    """Run the task in the JSON file that the command line names; its outcome is an event.

    A rank that fails only because another one is gone leaves the word to that one, or to
    `model.launch`, which knows how it ended.
    """
    die_with_parent(signal.SIGKILL)
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: python -m {step.module} TASK.json")
    task = Task.from_request(step, json.loads(Path(sys.argv[1]).read_bytes()))
    rank, several = int(os.environ.get("RANK", "0")), os.environ.get("WORLD_SIZE", "1") != "1"
    try:
        manifest = run(task)
    except GristmillError as error:
        emit_failure(error)
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
    except Exception as error:
        traceback.print_exc()
        if not (several and OF_A_PEER.search(str(error))):
            emit_failure(failure_in(f"{step.name}{f' (rank {rank})' if several else ''}", error))
        raise SystemExit(1) from None
    if manifest is not None and rank == 0:
        emit("result", digest=manifest.digest)


@dataclass(frozen=True)
class Processes:
    """The training's processes as this one sees them.

    rank        of this process, among `world`
    mesh        of all processes, one dimension: the model is sharded over it
    control     gloo: small messages on the CPU between the trainers, also where the mesh is nccl
    checkpoint  gloo: the background saver's alone

    Why two groups of gloo. A collective call is matched with the other ranks' calls by its place in
    the order of calls on its group. The saver's thread and the trainer's thread interleave
    differently on each rank: on one group, a rank's sum of losses would meet another's list of
    chunks. On a group each, both orders are the same everywhere.
    """

    rank: int
    world: int
    device: torch.device
    mesh: DeviceMesh
    control: dist.ProcessGroup
    checkpoint: dist.ProcessGroup


def start_processes() -> Processes:
    """Join the group of `model.launch` or torchrun; a group of one without either.

    gloo on the CPU, with nccl beside it where there is CUDA. Collective.
    """
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
    dist.init_process_group(
        backend,
        store=_store(world),
        rank=int(os.environ.get("RANK", "0")),
        world_size=world,
        device_id=device if cuda and "RANK" in os.environ else None,
    )
    mesh = init_device_mesh(device.type, (world,))
    control = dist.new_group(backend="gloo")  # every rank makes all groups, in this order
    checkpoint = dist.new_group(backend="gloo")
    return Processes(dist.get_rank(), world, device, mesh, control, checkpoint)


def _store(world: int) -> Store | None:
    """Where the processes leave their addresses for each other; None: where torchrun says.

    A process alone needs nobody's address, so its store is in its own memory (HashStore): there is
    no port that others could reach or that could be taken.
    """
    if "RANK" not in os.environ:
        return HashStore()
    return FileStore(os.environ[STORE], world) if STORE in os.environ else None


class Interruption:
    """Notes SIGTERM from its construction on.

    A rank whose owner was killed ends at once: it must not write beside its successor.
    """

    def __init__(self) -> None:
        self._came = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = True

    def agreed(self, group: dist.ProcessGroup) -> bool:
        """Whether it came to any rank; all ranks get the same answer. Collective.

        The signal reaches ranks at different times, in different steps. If each acted on its own
        note, one would save while another waits for its gradients.
        """
        if owner_is_gone():
            os._exit(1)  # at once: no handler may write anything more
        flag = torch.tensor([int(self._came)])
        dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=group)
        return bool(flag.item())
