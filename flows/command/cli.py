"""The command `gristmill`: one subcommand a step, one for the whole, and some to look around.

Exit codes: 0 done, 1 a step failed, 2 the user's input is wrong (nothing was written). Every failure is one line on standard error.
With `--json` a step prints exactly one JSON object on standard output.
"""

import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from flows.chain.chain import chain, start_of
from flows.chain.parameters import PRESET_SECTIONS, PipelineParameters, from_sources
from flows.chain.plan import plan as plan_of
from flows.chain.steps import STEPS
from flows.command import console
from flows.command.options import with_options
from flows.running.children import Outcome, Runner
from infra.errors import GristmillError, UsageError, nearest
from infra.lake import Artifact, Lake
from infra.parameters import build
from infra.step import Task, summary
from jobs.sample import SampleParameters, environment

app = typer.Typer(
    help="Raw web crawl to evaluated, registered language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Root = Annotated[
    str | None,
    typer.Option(help="The lake: a directory or s3://bucket/prefix", show_default="./lake"),
]
Input = Annotated[
    list[str] | None,
    typer.Option(
        "--input", help="Crawl files (globs, folders, s3://, https://) or an artifact of the lake"
    ),
]
Name = Annotated[
    str | None, typer.Option(help="Name of the artifacts in the lake", show_default="default")
]
Preset = Annotated[
    str | None,
    typer.Option(
        help=f"Model and training to start from: {', '.join(PRESET_SECTIONS)} [default: tiny]"
    ),
]
Config = Annotated[Path | None, typer.Option(help="YAML file with parameters, one section a step")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="One parameter: section.key=value, e.g. dedup.threshold=0.7; repeatable"
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON object on standard output")
]
Reference = Annotated[
    str, typer.Argument(help="Folder, kind/name/digest, kind/name, or the first digits of a digest")
]

INTERRUPTED = 130
LAKE = "./lake"
DEMO_SOURCE = "pydoc"


def parameters_of(
    root: str | None,
    name: str | None,
    preset: str | None,
    config: Path | None,
    settings: list[str] | None,
    more: dict[str, Any],
    base: dict[str, Any] | None = None,
) -> PipelineParameters:
    """Everything the user said, in the order of precedence."""
    given = {
        key: value
        for key, value in (("root", root), ("name", name), ("preset", preset))
        if value is not None
    }
    return from_sources(config, settings or [], {**given, **more}, base)


def add_step(step: str) -> None:
    """The subcommand of one step."""
    declaration = STEPS[step]

    def run_one(
        own: dict[str, Any],
        root: Root = None,
        input: Input = None,
        name: Name = None,
        preset: Preset = None,
        config: Config = None,
        set: Set = None,
        json: Json = False,
    ) -> None:
        more: dict[str, Any] = {"input": input} if input else {}
        parameters = parameters_of(
            root, name, preset, config, set, more | ({step: own} if own else {})
        )
        lake = Lake.at(parameters.root)
        start = start_of(lake, parameters.input, step, parameters.name)
        execute(chain(parameters, step, start, quality=False), json)

    run_one.__doc__ = f"{DESCRIPTIONS[step]} Writes `{declaration.kind}`."
    app.command(step)(with_options(run_one, declaration.parameters))


DESCRIPTIONS = {
    "extract": "Crawl files to documents: decode, main content, language.",
    "filter": "Quality signals for every document, and the decision over them.",
    "dedup": "Remove exact and near duplicates.",
    "tokenizer": "Train the tokenizer.",
    "tokenize": "Documents to packed tokens in a seeded global order.",
    "train": "Train a model with torchrun and FSDP2; resumes from its newest checkpoint.",
    "evaluate": "Loss, perplexity and bits per byte on the validation split, per source; samples.",
    "export": "The model in Hugging Face format: safetensors, config.json, tokenizer.",
    "report": "The report card; registers the model and moves `champion` on a measured win.",
}


def execute(tasks: list[Task], as_json: bool) -> None:
    """Run a chain without Prefect; the last step is the one that was asked for."""
    outcome: Outcome | None = None
    with console.follower(as_json) as follow, Runner(tasks[0].lake.root, follow=follow) as runner:
        for task in tasks:
            outcome = runner.run(task)
            console.outcome(outcome, as_json)
    assert outcome is not None
    if as_json:
        console.one_object(summary(outcome.task, outcome.manifest, outcome.hit))


def sample(own: dict[str, Any], root: Root = None, name: Name = None, json: Json = False) -> None:
    """A crawl to try things on: the documentation of Python and its installed packages as WARC files. Writes `crawl`."""
    execute([sample_task(root or LAKE, name or DEMO_SOURCE, own)], json)


def sample_task(root: str, name: str, own: dict[str, Any]) -> Task:
    """The task that makes the demo's crawl."""
    return Task(
        STEPS["sample"],
        Lake.at(root),
        name,
        build(SampleParameters, {"environment": environment(), **own}, "sample"),
    )


@app.command()
def run(
    root: Root = None,
    input: Input = None,
    name: Name = None,
    preset: Preset = None,
    config: Config = None,
    set: Set = None,
    json: Json = False,
) -> None:
    """The whole way, as a Prefect flow: crawl to registered model. Steps that are there already are skipped."""
    more: dict[str, Any] = {"input": input} if input else {}
    run_pipeline(parameters_of(root, name, preset, config, set, more), json)


@app.command()
def demo(
    root: Root = None,
    pages: Annotated[
        int, typer.Option(help="Pages of the sample crawl at most (pages)", min=1)
    ] = 3000,
    config: Config = None,
    set: Set = None,
    json: Json = False,
) -> None:
    """Everything on this machine: a real crawl of local documentation, the whole pipeline, the report."""
    task = sample_task(root or LAKE, DEMO_SOURCE, {"pages": pages})
    execute([task], False) if not json else execute_quietly(task)
    more: dict[str, Any] = {"input": task.artifact.data_uris()}
    run_pipeline(parameters_of(root, "demo", None, config, set, more, demo_defaults()), json)


def demo_defaults() -> dict[str, Any]:
    """The rules for a crawl of programming documentation: without those of C4 and FineWeb that no page with code passes."""
    from jobs.filter import default_rules

    prose_only = ("c4_curly_bracket", "c4_sentences", "fineweb_char_dup")
    return {
        "filter": {
            "rules": {
                name: rule for name, rule in default_rules().items() if name not in prose_only
            }
        }
    }


def execute_quietly(task: Task) -> None:
    """Run one task and print nothing."""
    with Runner(task.lake.root) as runner:
        runner.run(task)


def run_pipeline(parameters: PipelineParameters, as_json: bool) -> None:
    """Run the flow; then say where everything is."""
    tasks = chain(parameters)
    before = {task.step.name: line for task, line in zip(tasks, plan_of(tasks))}
    if not as_json:
        console.plan_table(list(before.values()))
    if not all(line.hit for line in before.values()):
        from flows.command.local import (
            run_flow,
        )  # Prefect takes seconds to import, and its server seconds to start

        run_flow(parameters)
    outcomes = [
        Outcome(task, task.artifact.require(), before[task.step.name].hit) for task in tasks
    ]
    if as_json:
        last = outcomes[-1]
        steps = [summary(o.task, o.manifest, o.hit) for o in outcomes]
        console.one_object(summary(last.task, last.manifest, last.hit) | {"steps": steps})
    else:
        console.closing(outcomes)


@app.command()
def plan(
    root: Root = None,
    input: Input = None,
    name: Name = None,
    preset: Preset = None,
    config: Config = None,
    set: Set = None,
    json: Json = False,
) -> None:
    """What `run` would do: hit or rebuild and why, expected documents, tokens and time. Runs nothing."""
    more: dict[str, Any] = {"input": input} if input else {}
    parameters = parameters_of(root, name, preset, config, set, more)
    lines = plan_of(chain(parameters))
    if json:
        console.one_object({"steps": [vars(line) for line in lines]})
    else:
        console.plan_table(lines)


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
    checkpoint = lake.find(input, "checkpoints") if input else newest(lake, "checkpoints")
    text = continue_text(checkpoint, prompt, max_tokens, temperature, top_k, seed)
    if json:
        console.one_object({"checkpoint": checkpoint.uri, "prompt": prompt, "text": text})
    else:
        console.text(prompt + text)


def newest(lake: Lake, kind: str) -> Artifact:
    """The newest artifact of a kind. Raises UsageError when there is none."""
    found = lake.artifacts(kind)
    if not found:
        raise UsageError(f"no {kind} in {lake.root}; `gristmill run` makes one")
    return found[-1]


@app.command()
def ls(
    root: Root = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind")] = None,
    json: Json = False,
) -> None:
    """The finished artifacts of the lake."""
    from infra.lake import KINDS

    if kind is not None and kind not in KINDS:
        raise UsageError(f"unknown kind '{kind}'{nearest(kind, KINDS)}")
    found = [(a, a.require()) for a in Lake.at(root or LAKE).artifacts(kind)]
    if json:
        console.one_object({"artifacts": [console.row(a, m) for a, m in found]})
    else:
        console.artifact_table(found)


@app.command()
def show(reference: Reference, root: Root = None, json: Json = False) -> None:
    """The manifest of an artifact; its files' contents are verified."""
    artifact = Lake.at(root or LAKE).find(reference)
    manifest = artifact.manifest(hashes=True)
    assert manifest is not None
    console.manifest(manifest, as_json=json)


@app.command()
def lineage(reference: Reference, root: Root = None, json: Json = False) -> None:
    """All that an artifact was made from, back to the crawl files."""
    lake = Lake.at(root or LAKE)
    found = [(a, a.require()) for a in lake.ancestors(lake.find(reference))]
    crawl = [source for _, m in found for source in m.details.get("crawl", [])]
    if json:
        console.one_object({"artifacts": [console.row(a, m) for a, m in found], "crawl": crawl})
    else:
        console.artifact_table(found)
        console.crawl_files(crawl)


app.command("sample")(with_options(sample, SampleParameters))
for _step in DESCRIPTIONS:
    add_step(_step)


def main() -> None:
    """Entry point: every failure is one line and an exit code. SIGTERM is treated as Ctrl-C: a training saves a checkpoint."""
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
    if code == INTERRUPTED:
        typer.echo("interrupted; run it again to go on from what is there", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def fail(message: str, code: int) -> int:
    """Print the one line."""
    typer.echo(f"error: {message}", err=True)
    return code


if __name__ == "__main__":
    main()
