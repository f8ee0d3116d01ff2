"""How every flow makes its part of the chain.

A failure of ours is one line: Prefect's log says it where the task and the flow end, without the
way through its engine.
"""

import logging

from prefect.runtime import flow_run

from flows.running.children import Children, Outcome
from flows.running.step_task import make_as_task
from infra.errors import GristmillError
from infra.step import Task


def without_trace(record: logging.LogRecord) -> bool:
    """Whether a log record is kept: not where it only adds the stack to an error that is a line in
    the next record."""
    return not (record.exc_info and isinstance(record.exc_info[1], GristmillError))


for _logger in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_logger).addFilter(without_trace)


def make_all(tasks: list[Task]) -> list[Outcome]:
    """Make the artifacts of these tasks, in order; the children are gone when this returns, however
    it does."""
    tasks[0].lake.sweep()
    with Children(tasks[0].lake.root, str(flow_run.id or "")) as children:
        return [make_as_task(task, children) for task in tasks]


def only(tasks: list[Task], *steps: str) -> list[Task]:
    """The tasks of these steps, in the order of the chain."""
    return [task for task in tasks if task.step.name in steps]
