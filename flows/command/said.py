"""What the subcommands have in common: their options, and from options to parameters."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.chain.parameters import PipelineParameters, from_sources
from model.presets import DEFAULT_PRESET, PRESETS

LAKE = "./lake"
Root = Annotated[
    str | None, typer.Option(help="The lake: a directory or s3://bucket/prefix", show_default=LAKE)
]
Input = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="Crawl files (globs, folders, s3://, https://) or an artifact of the lake; NAME=FILES"
        " declares their source, else the folder's name",
    ),
]
Name = Annotated[
    str | None, typer.Option(help="Name of the artifacts in the lake", show_default="default")
]
Preset = Annotated[
    str | None,
    typer.Option(
        help=f"Model and training to start from: {', '.join(PRESETS)}", show_default=DEFAULT_PRESET
    ),
]
Without = Annotated[
    list[str] | None, typer.Option("--without", help="A step to leave out; repeatable")
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
    str, typer.Argument(help="Folder, kind/name/digest, kind/name, or first digits of a digest")
]

Compared = Annotated[
    str, typer.Argument(help="Folder, kind/name/digest, kind/name, first digits, or a run's name")
]


def parameters_of(
    config: Path | None,
    settings: list[str] | None,
    base: dict[str, Any] | None = None,
    **given: Any,
) -> PipelineParameters:
    """Everything the user said, in the order of precedence; what is None or empty was not said."""
    said = {key: value for key, value in given.items() if value not in (None, [], {})}
    return from_sources(config, settings or [], said, base)
