"""The command `gristmill`: one subcommand a step, one for the whole, and some to look around.

Exit codes: 0 done, 1 a step failed, 2 the user's input is wrong (nothing was written). Every
failure is one line on standard error. With `--json` a step prints exactly one JSON object on
standard output.
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from importlib import metadata
from platform import python_version
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from flows.chain.bound import bound
from flows.chain.chain import chain, started_from
from flows.chain.parameters import PipelineParameters
from flows.chain.plan import plan as plan_of
from flows.chain.steps import STEPS, of_chain
from flows.command import console, look, verify
from flows.command.bars import follower
from flows.command.local import run_flow, run_server
from flows.command.options import with_options
from flows.command.said import (
    LAKE,
    Config,
    Input,
    Json,
    Name,
    Preset,
    Root,
    Set,
    Without,
    parameters_of,
)
from flows.command.sections import with_sections
from flows.command.serve import serve, where_secrets_are
from flows.running.children import Children, Outcome, log_file
from flows.running.pace import crawl_files
from infra.errors import GristmillError, UsageError
from infra.failures import failure_in, with_log
from infra.lake import Artifact, Lake
from infra.manifest import revision
from infra.parameters import build
from infra.step import Launch, Step, Task, summary
from jobs.sample import SampleParameters, environment
from jobs.spark.settings import require_shared
from model.presets import tiny

if TYPE_CHECKING:
    from flows.running.server import RunServer

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
INTERRUPTED = 130
DEMO_SOURCE = "pydoc"
PAGES = 3000
LEAST_STEPS = 20


def print_version(asked: bool) -> None:
    """Version, Python's, and the revision of the code where it is a checkout; ends the call."""
    if asked:
        here = revision()
        code = f", revision {here}" if here else ""
        console.text(f"gristmill {metadata.version('gristmill')} (Python {python_version()}{code})")
        raise typer.Exit


@app.callback()
def gristmill(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Versions of this program and of Python",
            callback=print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Raw web crawl to evaluated, registered language model."""


def add_step(step: Step) -> None:
    """The subcommand of one step."""

    def make_one(
        own: dict[str, Any],
        root: Root = None,
        input: Input = None,
        name: Name = None,
        preset: Preset = None,
        config: Config = None,
        set: Set = None,
        json: Json = False,
    ) -> None:
        said: dict[str, Any] = {
            "root": root,
            "input": input,
            "name": name,
            "preset": preset,
            step.name: own,
        }
        parameters = parameters_of(config, set, **said)
        with follower(json, console.out) as follow, crawl_files(follow):
            begun = started_from(parameters, step.name)
            if begun is not None:
                parameters = parameters.model_copy(update={"input": [begun.uri]})
            tasks = chain(parameters, step.name, whole=False)
        execute(tasks, json, begun)

    make_one.__doc__ = f"{step.help} Writes `{step.kind}`."
    command = with_sections([step], own=True)
    app.command(step.name, cls=command)(with_options(make_one, step.parameters))


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


def add_whole(act: Callable[[PipelineParameters, bool], None]) -> None:
    """A subcommand about the whole way, with `act`'s name and help."""

    def with_parameters(
        root: Root = None,
        input: Input = None,
        name: Name = None,
        preset: Preset = None,
        without: Without = None,
        config: Config = None,
        set: Set = None,
        json: Json = False,
    ) -> None:
        said: dict[str, Any] = {"root": root, "input": input, "name": name}
        said |= {"preset": preset, "without": without}
        act(parameters_of(config, set, **said), json)

    with_parameters.__doc__ = act.__doc__
    app.command(act.__name__, cls=with_sections(of_chain()))(with_parameters)


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
                run_flow(parameters, running)
    outcomes = [
        Outcome(task, task.artifact.require(), line.hit) for task, line in zip(tasks, lines)
    ]
    if as_json:
        steps = [summary(o.task, o.manifest, o.hit) for o in outcomes]
        console.one_object(steps[-1] | {"steps": steps})
    else:
        console.closing(outcomes)


def require_places(tasks: Iterable[Task]) -> None:
    """Raises UsageError, before anything starts or is written, where Spark cannot see a lake."""
    for task in tasks:
        if task.step.launch is Launch.SPARK:
            require_shared(task.lake.root)


def plan(parameters: PipelineParameters, as_json: bool) -> None:
    """What `run` would do and why, which shards are new, how much, how long. Runs nothing."""
    with follower(as_json, console.out) as follow, crawl_files(follow):
        lines = plan_of(chain(parameters))
    if as_json:
        console.one_object({"steps": [vars(line) for line in lines]})
    else:
        console.plan_table(lines)


def demo_defaults(pages: int = PAGES) -> dict[str, Any]:
    """What a crawl of programming documentation needs: rules without those of C4 and FineWeb that
    no page with code passes; and fewer steps than the preset's where there are fewer pages."""
    from jobs.filter import default_rules

    prose_only = ("c4_curly_bracket", "c4_sentences", "fineweb_char_dup")
    kept = {name: rule for name, rule in default_rules().items() if name not in prose_only}
    whole = tiny().steps
    steps = min(whole, max(LEAST_STEPS, whole * pages // PAGES))
    return {"filter": {"rules": kept}, "train": {"steps": steps}}


@app.command(cls=with_sections(of_chain(), base=demo_defaults))
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


@app.command()
def generate(
    prompt: Annotated[str, typer.Option(help="Text to continue")] = "",
    input: Annotated[
        str | None, typer.Option("--input", help="A checkpoints artifact; the newest otherwise")
    ] = None,
    root: Root = None,
    max_tokens: Annotated[int, typer.Option(help="Length at most (tokens)", min=1)] = 128,
    temperature: Annotated[
        float, typer.Option(help="0: always the likeliest token", min=0.0)
    ] = 0.8,
    top_k: Annotated[int, typer.Option(help="Sample among the likeliest k; 0: all", min=0)] = 50,
    seed: Annotated[int, typer.Option(help="Seed of the sampling")] = 0,
    json: Json = False,
) -> None:
    """Continue a text with a trained model."""
    from flows.command.generate import continue_text

    lake = Lake.at(root or LAKE)
    checkpoint = lake.find(input, "checkpoints") if input else lake.newest("checkpoints")
    if checkpoint is None:
        raise UsageError(f"no checkpoints in {lake.root}; `gristmill run` makes some")
    text = continue_text(checkpoint, prompt, max_tokens, temperature, top_k, seed)
    if json:
        console.one_object({"checkpoint": checkpoint.uri, "prompt": prompt, "text": text})
    else:
        console.text(prompt + text)


add_whole(run)
add_whole(plan)
app.command("sample", cls=with_sections([STEPS["sample"]], own=True, values=sample_values))(
    with_options(sample, SampleParameters)
)
for _step in of_chain():
    add_step(_step)
app.add_typer(look.app)
app.command()(serve)
app.command("secrets")(where_secrets_are)
app.add_typer(verify.app)


def main() -> None:
    """Entry point: every failure is one line and an exit code. SIGTERM is treated as Ctrl-C: a
    training saves a checkpoint."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except TyperException as error:
        code = fail(" ".join(error.format_message().split()), 2)
    except UsageError as error:
        code = fail(str(error), 2)
    except GristmillError as error:
        code = fail(str(error), 1)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        code = fail(unforeseen(error), 1)
    if code == INTERRUPTED:
        typer.echo("interrupted; run it again to go on from what is there", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def unforeseen(error: Exception) -> str:
    """One line about an error that nobody translated; how it came about is in a log."""
    log = log_file("gristmill")
    with contextlib.suppress(OSError):  # the disk may be what is wrong
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc())
    return with_log(str(failure_in("gristmill", error)), log if log.exists() else "")


def fail(message: str, code: int) -> int:
    """Print the one line."""
    typer.echo(f"error: {message}", err=True)
    return code


if __name__ == "__main__":
    main()
