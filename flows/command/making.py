"""What the commands that make something do: a step alone, the whole as a flow, or only the plan."""

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flows.chain.bound import bound
from flows.chain.chain import chain
from flows.chain.parameters import PipelineParameters
from flows.chain.plan import plan as plan_of
from flows.command import console
from flows.command.bars import follower
from flows.command.local import run_flow, run_server
from flows.running.children import Children, Outcome
from flows.running.pace import crawl_files
from infra.lake import Artifact
from infra.step import Launch, Task, summary
from jobs.spark.settings import require_shared

if TYPE_CHECKING:
    from flows.running.server import RunServer


def execute(tasks: list[Task], as_json: bool, begun: Artifact | None = None) -> None:
    """Make a chain's artifacts without Prefect; the last step is the one that was asked for.

    begun  what it starts from, where the user did not say it
    """
    outcome: Outcome | None = None
    if begun is not None:
        console.starts_from(begun, begun.known(), as_json)
    require_places(task for task in tasks if task.artifact.sound() is None)
    with (
        follower(as_json, console.out) as follow,
        Children(tasks[0].lake.root, follow=follow) as children,
    ):
        for task in tasks:
            outcome = children.make(task)
            console.outcome(outcome, as_json)
    assert outcome is not None
    if as_json:
        said = {"starts_from": console.row(begun, begun.known())} if begun else {}
        console.one_object(summary(outcome.task, outcome.manifest, outcome.hit) | said)


def run(parameters: PipelineParameters, as_json: bool, server: "RunServer | None" = None) -> None:
    """The whole way as a Prefect flow, crawl to registered model; what is there is skipped."""
    with contextlib.ExitStack() as held:
        with follower(as_json, console.out) as follow, crawl_files(follow):
            held.enter_context(bound(parameters.root, parameters.input))
            tasks = chain(parameters)
            lines = plan_of(tasks)
        if not as_json:
            console.plan_table(lines)
        if not all(line.hit for line in lines):
            require_places(task for task, line in zip(tasks, lines) if not line.hit)
            with contextlib.nullcontext(server) if server else run_server() as running:
                run_flow(parameters, running, quiet=as_json)
    outcomes = [
        Outcome(task, task.artifact.require(), line.hit) for task, line in zip(tasks, lines)
    ]
    if as_json:
        steps = [summary(o.task, o.manifest, o.hit) for o in outcomes]
        console.one_object(steps[-1] | {"steps": steps})
    else:
        console.closing(outcomes)


def plan(parameters: PipelineParameters, as_json: bool) -> None:
    """What `run` would do and why, which shards are new, how much, how long. Runs nothing."""
    with follower(as_json, console.out) as follow, crawl_files(follow):
        lines = plan_of(chain(parameters))
    if as_json:
        console.one_object({"steps": [vars(line) for line in lines]})
    else:
        console.plan_table(lines)


def require_places(tasks: Iterable[Task]) -> None:
    """Raises UsageError, before anything starts or is written, where Spark cannot see a lake."""
    for task in tasks:
        if task.step.launch is Launch.SPARK:
            require_shared(task.lake.root)
