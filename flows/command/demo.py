"""`gristmill sample` and `gristmill demo`: a crawl that every machine has, and all that follows."""

import contextlib
from typing import Annotated, Any

import typer

from flows.chain.parameters import PipelineParameters
from flows.chain.steps import STEPS
from flows.command import console
from flows.command.bars import follower
from flows.command.local import run_server
from flows.command.making import execute, run
from flows.command.said import LAKE, Config, Json, Name, Root, Set, parameters_of
from flows.running.children import Children
from infra.lake import Lake
from infra.parameters import build
from infra.step import Step, Task
from jobs.sample import SampleParameters, environment
from model.presets import tiny

DEMO_SOURCE = "pydoc"
PAGES = 3000
LEAST_STEPS = 20


def sample(own: dict[str, Any], root: Root = None, name: Name = None, json: Json = False) -> None:
    """A crawl to try things on: documentation of Python and its packages. Writes `crawl`."""
    execute([sample_task(root or LAKE, name or DEMO_SOURCE, own)], json)


def sample_task(root: str, name: str, own: dict[str, Any]) -> Task:
    """The task that makes the demo's crawl."""
    return Task(STEPS["sample"], Lake.at(root), name, sample_parameters(own))


def sample_values(parameters: PipelineParameters, step: Step) -> SampleParameters:
    """What the help of `sample` shows: no part of a run's parameters."""
    return sample_parameters({})


def sample_parameters(own: dict[str, Any]) -> SampleParameters:
    """The sample's parameters on this machine, with what the user said."""
    return build(SampleParameters, {"environment": environment(), **own}, "sample")


def demo_defaults(pages: int = PAGES) -> dict[str, Any]:
    """What a crawl of programming documentation needs: rules without those of C4 and FineWeb that
    no page with code passes; and fewer steps than the preset's where there are fewer pages."""
    from jobs.filter import default_rules

    prose_only = ("c4_curly_bracket", "c4_sentences", "fineweb_char_dup")
    kept = {name: rule for name, rule in default_rules().items() if name not in prose_only}
    whole = tiny().steps
    steps = min(whole, max(LEAST_STEPS, whole * pages // PAGES))
    return {"filter": {"rules": kept}, "train": {"steps": steps}}


def demo(
    root: Root = None,
    pages: Annotated[int, typer.Option(help="Pages of the sample at most (pages)", min=1)] = PAGES,
    config: Config = None,
    set: Set = None,
    json: Json = False,
) -> None:
    """All on this machine: a crawl of local documentation, the whole pipeline, the report."""
    task = sample_task(root or LAKE, DEMO_SOURCE, {"pages": pages})
    with contextlib.ExitStack() as held:
        # The first time a run follows; Prefect's server starts while the sample is made.
        server = None if task.artifact.sound() else held.enter_context(run_server())
        with (
            follower(json, console.out) as follow,
            Children(task.lake.root, follow=follow) as children,
        ):
            console.outcome(children.make(task), json)
        said: dict[str, Any] = {"root": root, "name": "demo", "input": [task.artifact.uri]}
        run(parameters_of(config, set, demo_defaults(pages), **said), json, server)
