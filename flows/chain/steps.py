"""All steps, in the order of the pipeline, and the processes that run them."""

import sys

from flows.card.step import REPORT
from infra.step import Step, Task
from jobs import sample
from jobs.steps import STEPS as SPARK_STEPS
from model.steps import EVALUATE, EXPORT, TRAIN

SPARK = tuple(SPARK_STEPS)
STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        sample.STEP,
        *(step for step, _ in SPARK_STEPS.values()),
        TRAIN,
        EVALUATE,
        EXPORT,
        REPORT,
    )
}
QUALITY = ("filter", "dedup")
"""Steps between documents and documents: part of a whole run, left out when a single later step is asked for raw input."""


def command(task: Task, request: str) -> list[str]:
    """The argument list of the child process that runs a step outside Spark; `request` is the file with the task."""
    if task.step is TRAIN:
        torchrun = [
            "torch.distributed.run",
            "--standalone",
            "--shutdown-timeout",
            "20",
            "--nproc-per-node",
            str(task.parameters.processes),
        ]
        return [sys.executable, "-m", *torchrun, "-m", task.step.module, request]
    return [sys.executable, "-m", task.step.module, request]
