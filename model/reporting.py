"""What a training tells while it runs: events for its owner, metrics and pointers for MLflow.

Rank 0 speaks, the others are silent. Throughput is tokens trained on a second since the last
report. Model FLOPs utilisation (Chowdhery et al. 2022, arXiv:2204.02311, appendix B: 6 x parameters
+ 12 layers x width x T FLOPs a token) is told on GPUs whose bf16 peak is in PEAK_FLOPS.
"""

import resource
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch

from infra.parameters import identity_of
from infra.process import emit
from infra.step import Task
from model.runtime import Processes

if TYPE_CHECKING:
    from infra.tracking import RunLog

PEAK_FLOPS = {"A100": 312e12, "H100": 989e12, "H200": 989e12}


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory this process has held: on its GPU, or resident without one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Reporter:
    """Rank 0's voice. flops_a_token: of forward and backward pass."""

    def __init__(
        self, task: Task, processes: Processes, total_steps: int, flops_a_token: float
    ) -> None:
        self._processes = processes
        self._total = total_steps
        self._flops = flops_a_token
        self._seconds, self._tokens = 0.0, 0
        self._mark = time.perf_counter()
        self.log: RunLog | None = None
        if processes.rank == 0:
            from infra import tracking  # MLflow takes seconds and 200 MB: rank 0 alone loads it

            self.log = tracking.RunLog(task.lake.root, task.identity.digest, task.name)
            self.log.begin(identity_of(task.parameters), task.inputs["tokens"])

    def step(self, step: int, tokens: int, values: Mapping[str, float]) -> None:
        """Numbers of a training step; `tokens` were trained on since the last call."""
        seconds = time.perf_counter() - self._mark
        self._seconds, self._tokens = self._seconds + seconds, self._tokens + tokens
        rate = tokens / seconds
        memory = float(peak_memory_bytes(self._processes.device))
        self._tell(
            step,
            {**values, "tokens_per_second": rate, "peak_memory_bytes": memory, **self._mfu(rate)},
        )
        self._mark = time.perf_counter()

    def measuring(self, tokens: int) -> None:
        """The final model is being measured on so many tokens."""
        if self.log:
            name = f"final validation on {tokens:,} tokens"
            emit("progress", step="train", part=name, number=2, of=2, done=0, total=0)

    def validated(self, step: int, loss: float) -> None:
        """A validation's result; its time does not count as training."""
        self._tell(step, {"val_loss": loss})
        self._mark = time.perf_counter()

    def saved(self, step: int, uri: str, values: Mapping[str, float]) -> None:
        """Where a checkpoint is being written."""
        if self.log:
            self.log.checkpoint(step, uri, values)
            emit("checkpoint", step=step, uri=uri)

    def kept(self, steps: Iterable[int]) -> None:
        """Which of the checkpoints told so far are still there."""
        if self.log:
            self.log.kept(steps)

    def close(self, status: str, scores: Mapping[str, float] | None = None) -> str:
        """Flush; the MLflow run's id, empty on other ranks."""
        if self.log is None:
            return ""
        self.log.close(status, scores)
        return self.log.run_id

    @property
    def tokens_per_second(self) -> float:
        """Mean over this process's training time."""
        return self._tokens / self._seconds if self._seconds else 0.0

    def _tell(self, step: int, values: Mapping[str, float]) -> None:
        if self.log:
            self.log.metrics(step, values)
            emit("metric", step=step, **values)
            emit("progress", step="train", done=step, total=self._total, unit="steps")

    def _mfu(self, tokens_per_second: float) -> dict[str, float]:
        if self._processes.device.type != "cuda":
            return {}
        name = torch.cuda.get_device_name(self._processes.device)
        peak = next((flops for key, flops in PEAK_FLOPS.items() if key in name), None)
        return (
            {"mfu": tokens_per_second * self._flops / (peak * self._processes.world)}
            if peak
            else {}
        )
