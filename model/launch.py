"""Start the processes of a training on this machine: torchrun, with nothing listening outside
loopback.

    python -m model.launch PROCESSES MODULE [ARGUMENT ...]
    python -m model.launch 2 model.train TASK.json

Why not `torchrun --standalone`: the stores through which its processes find each other
(TCPStore) listen on all interfaces, whatever `--rdzv-endpoint` and `--local-addr` say, ask nobody
who he is, and unpickle what they are sent: who reaches the port runs code. Here the processes meet
in two files of a folder that only this user can read: one for torchrun's own rendezvous, one for
the process group (`model.runtime`). What still listens are gloo's pairs, on 127.0.0.1.

A training over several machines is started by torchrun itself, in a network that is its own.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from infra.errors import GristmillError
from infra.failures import ended_by_signal
from infra.process import emit_failure
from model.runtime import STORE

SHUTDOWN_SECONDS = 20
"""How long a process may take to save its checkpoint after SIGTERM, before it is killed."""


def arguments(processes: str, folder: Path, module: list[str]) -> list[str]:
    """Torchrun's argument list; `folder`: private, empty; `module`: its name and its arguments."""
    return [
        *("--nnodes", "1", "--nproc-per-node", processes),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", str(folder / "rendezvous")),
        *("--rdzv-conf", "store_type=file", "--local-addr", "127.0.0.1"),
        *("--shutdown-timeout", str(SHUTDOWN_SECONDS), "--log-dir", str(folder)),
        *("-m", *module),
    ]


def main() -> None:
    """Run the processes that the command line names to their end."""
    if len(sys.argv) < 3:
        raise SystemExit("usage: python -m model.launch PROCESSES MODULE [ARGUMENT ...]")
    processes, *module = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="processes-") as folder:
        os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # or torchrun opens one after all
        os.environ[STORE] = str(Path(folder) / "store")
        try:
            torchrun.main(arguments(processes, Path(folder), module))
        except ChildFailedError as error:
            emit_failure(ended(module[0].rpartition(".")[2], error.failures))
            raise SystemExit(1) from None


def ended(step: str, failures: Mapping[int, ProcessFailure]) -> GristmillError:
    """What the user is told of the ranks that ended first, where none of them told why: by which
    signal, or with which exit code."""

    def weight(found: ProcessFailure) -> int:
        if found.exitcode == -signal.SIGTERM:
            return 2  # torchrun sends it to the others
        return 0 if found.exitcode < 0 else 1

    said = failures.items()
    rank, first = min(said, key=lambda each: (weight(each[1]), each[1].timestamp, each[0]))
    if first.exitcode < 0:
        return GristmillError(ended_by_signal(f"{step}: rank {rank}", -first.exitcode))
    return GristmillError(f"{step}: rank {rank} failed with exit code {first.exitcode}")


if __name__ == "__main__":
    main()
