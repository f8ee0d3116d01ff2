"""The subcommand that checks a lake: every artifact and shard against what was written."""

from typing import Annotated, Any

import typer

from flows.command import console
from flows.command.said import LAKE, Json, Root
from infra.errors import GristmillError
from infra.lake import Artifact, Lake
from infra.lake.damage import Stored
from infra.lake.repair import Checked, check, check_shards, mend, remove_files

app = typer.Typer()


@app.command()
def verify(
    reference: Annotated[
        str | None,
        typer.Argument(help="One artifact (as in `show`); without it all, and all shards"),
    ] = None,
    root: Root = None,
    hashes: Annotated[
        bool,
        typer.Option("--hashes", help="Compare contents too, not only sizes: reads every file"),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Remove what is damaged, so that the next run builds it"),
    ] = False,
    json: Json = False,
) -> None:
    """Check that all files are there as they were written. Exit code 1 where damage is left."""
    lake = Lake.at(root or LAKE)
    lake.require()
    stored = Stored(lake.root, hashes=hashes)
    artifacts = [lake.find(reference)] if reference else lake.artifacts()
    made = [(artifact, check(artifact, stored)) for artifact in artifacts]
    shards = [] if reference else list(check_shards(lake.root, stored))
    damaged = [each for each in [*(found for _, found in made), *shards] if each.damage]
    if repair:
        remove(lake, made, shards, hashes)
    if json:
        console.one_object(said([found for _, found in made], shards, hashes, repair))
    else:
        for _, found in made:
            line(found, repair)
        for found in filter(damage_of, shards):
            line(found, repair)
        by = "size and content" if hashes else "size"
        console.out.print(f"{len(made)} artifacts, {len(shards)} shards checked by {by}")
    if damaged and not repair:
        raise GristmillError(
            f"{len(damaged)} damaged, first {damaged[0].path}; `gristmill verify"
            f"{' --hashes' if hashes else ''} --repair` removes what is damaged, then"
            " `gristmill run` builds it again"
        )


def remove(
    lake: Lake, made: list[tuple[Artifact, Checked]], shards: list[Checked], hashes: bool
) -> None:
    """Make what is damaged unfinished: artifacts, then shards that no artifact names."""
    for artifact, found in made:
        if found.damage:
            mend(artifact, found.damage, hashes=hashes)
    for found in shards:
        remove_files(lake.root, (each.path for each in found.damage))


def damage_of(found: Checked) -> list[dict[str, str]]:
    """What is wrong, as plain data."""
    return [{"path": each.path, "said": each.said} for each in found.damage]


def said(
    artifacts: list[Checked], shards: list[Checked], hashes: bool, repaired: bool
) -> dict[str, Any]:
    """The object of `--json`: all artifacts, the damaged shards."""
    return {
        "artifacts": [
            {"path": found.path, "files": found.files, "bytes": found.size_bytes}
            | {"damage": damage_of(found)}
            for found in artifacts
        ],
        "shards": len(shards),
        "damaged_shards": [
            {"path": found.path, "damage": damage_of(found)} for found in shards if found.damage
        ],
        "hashes": hashes,
        "repaired": repaired,
    }


def line(found: Checked, repaired: bool) -> None:
    """A line an artifact, and one for each file that is damaged."""
    state = "[green]sound[/]"
    if found.damage:
        state = "[yellow]removed[/]" if repaired else "[red]damaged[/]"
    size = f"{found.files:,} files, {found.size_bytes / 1e6:,.1f} MB"
    console.out.print(f"{state:8}  {console.plain(found.path)}  [dim]{size}[/]")
    for each in found.damage:
        console.out.print(f"          {console.plain(each.line)}")
