"""How every flow runs its part of the chain."""

from prefect.runtime import flow_run

from flows.runner import Outcome, Runner
from flows.tasks import run_step
from infra.step import Task


def run_chain(tasks: list[Task]) -> list[Outcome]:
    """Run the tasks in order, in one runner; its children are gone when this returns, however it returns."""
    tasks[0].lake.sweep()
    with Runner(tasks[0].lake.root, str(flow_run.id or "")) as runner:
        return [run_step(task, runner) for task in tasks]


def only(tasks: list[Task], *steps: str) -> list[Task]:
    """The tasks of these steps, in the order of the chain."""
    return [task for task in tasks if task.step.name in steps]
