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
from collections.abc import Callable
from importlib import metadata
from platform import python_version
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from flows.chain.chain import chain, started_from
from flows.chain.parameters import PipelineParameters
from flows.chain.steps import STEPS, of_chain
from flows.command import console, look, up, verify
from flows.command.bars import follower
from flows.command.demo import demo, demo_defaults, sample, sample_values
from flows.command.entry import INTERRUPTED
from flows.command.making import execute, plan, run
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
from flows.running.children import log_file
from flows.running.pace import crawl_files
from infra.errors import GristmillError, UsageError
from infra.failures import failure_in, with_log
from infra.lake import Lake
from infra.manifest import revision
from infra.private import private_file
from infra.show import error_line
from infra.step import Step
from jobs.sample import SampleParameters

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


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
    with follower(json or not console.out.is_terminal, console.out) as follow:  # else only the text
        text = continue_text(checkpoint, prompt, max_tokens, temperature, top_k, seed, follow)
    if json:
        console.one_object({"checkpoint": checkpoint.uri, "prompt": prompt, "text": text})
    else:
        console.text(prompt + text)


add_whole(run)
add_whole(plan)
app.command("sample", cls=with_sections([STEPS["sample"]], own=True, values=sample_values))(
    with_options(sample, SampleParameters)
)
app.command(cls=with_sections(of_chain(), base=demo_defaults))(demo)
for _step in of_chain():
    add_step(_step)
app.add_typer(look.app)
app.command()(serve)
app.command("secrets")(where_secrets_are)
app.add_typer(verify.app)
app.add_typer(up.app)


def main() -> None:
    """Entry point: every failure is one line and an exit code. SIGTERM is treated as Ctrl-C: a
    training saves a checkpoint."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except TyperException as error:
        said = " ".join(error.format_message().split())
        code = fail(said, 2) if said else 0  # without arguments it has shown its help
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
    # The disk may be what is wrong.
    with contextlib.suppress(OSError), private_file(log) as stream:
        stream.write(traceback.format_exc().encode("utf-8", "backslashreplace"))
    return with_log(str(failure_in("gristmill", error)), log if log.exists() else "")


def fail(message: str, code: int) -> int:
    """Print the one line."""
    typer.echo(f"error: {error_line(message)}", err=True)
    return code


if __name__ == "__main__":
    main()
