"""The subcommands that look at a lake or clear it up: ls, show, lineage, diff, why, rm, gc."""

from typing import Annotated, Any

import typer

from flows.chain.steps import kinds
from flows.command import console
from flows.command.difference_table import print_differences
from flows.command.differences import differences, named
from flows.command.said import LAKE, Compared, Json, Reference, Root
from flows.command.why import why as why_of
from infra.errors import UsageError, nearest
from infra.lake import Artifact, Lake
from infra.lake.damage import Stored
from infra.manifest import Manifest

app = typer.Typer()


@app.command()
def ls(
    root: Root = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind")] = None,
    json: Json = False,
) -> None:
    """The finished artifacts of the lake; damaged ones are marked."""
    if kind is not None and kind not in kinds():
        raise UsageError(f"unknown kind '{kind}'{nearest(kind, kinds())}")
    lake = Lake.at(root or LAKE)
    lake.require()
    found = checked(lake, lake.artifacts(kind))
    if json:
        console.one_object({"artifacts": [console.stored_row(*each) for each in found]})
    else:
        console.artifact_table(found)


def checked(lake: Lake, artifacts: list[Artifact]) -> list[tuple[Artifact, Manifest | None, str]]:
    """Each artifact, its manifest unless that is damaged, and what is wrong with it, if anything,
    by the sizes of its files."""
    stored = Stored(lake.root)
    found = []
    for artifact in artifacts:
        manifest, damage = artifact.examined(stored)
        found.append((artifact, manifest, damage[0].line if damage else ""))
    return found


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
    found = checked(lake, lake.ancestors(lake.find(reference)))
    crawl = [source for _, m, _ in found if m for source in m.details.get("crawl", [])]
    if json:
        rows = [console.stored_row(*each) for each in found]
        console.one_object({"artifacts": rows, "crawl": crawl})
    else:
        console.artifact_table(found)
        console.crawl_files(crawl)


@app.command()
def diff(left: Compared, right: Compared, root: Root = None, json: Json = False) -> None:
    """What differs between two artifacts or runs: parameters, versions, inputs, counts, scores."""
    lake = Lake.at(root or LAKE)
    found = differences(lake, named(lake, left), named(lake, right))
    if json:
        console.one_object(found)
    else:
        print_differences(found)


@app.command()
def why(
    document: Annotated[str, typer.Argument(help="A document's URL, or its doc_id in hexadecimal")],
    input: Annotated[
        str | None,
        typer.Option("--input", help="An artifact that it went into; the newest otherwise"),
    ] = None,
    root: Root = None,
    json: Json = False,
) -> None:
    """A document's way: crawl file, each step's verdict, its tokens, the trainings that saw it."""
    found = why_of(Lake.at(root or LAKE), document, input)
    if json:
        console.one_object({"documents": found})
    else:
        console.ways(found)


@app.command()
def rm(reference: Reference, root: Root = None, json: Json = False) -> None:
    """Remove an artifact, also a half-written one, unless another one was made from it. `gc` frees
    its shards."""
    lake = Lake.at(root or LAKE)
    artifact = lake.find(reference, half_written=True)
    lake.remove(artifact)
    if json:
        console.one_object({"removed": artifact.path})
    else:
        console.text(f"removed {artifact.path}; `gristmill gc` frees the shards it alone used")


@app.command()
def gc(
    root: Root = None,
    keep: Annotated[
        int | None,
        typer.Option(
            help="Artifacts to keep of each kind and name, with what they were made from; a"
            " champion stays",
            show_default="all",
            min=1,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go")] = False,
    json: Json = False,
) -> None:
    """Remove what nobody needs: shards no artifact names, half-written folders, old artifacts."""
    lake = Lake.at(root or LAKE)
    lake.require()
    freed = lake.collect(keep=keep, also=champions(lake) if keep else (), dry_run=dry_run)
    said: dict[str, Any] = {**vars(freed), "dry_run": dry_run}
    if json:
        console.one_object(said)
    else:
        console.freed(freed, dry_run)


def champions(lake: Lake) -> list[str]:
    """Digests of the models that a registered name's `champion` is; none where no model was
    registered."""
    from infra import tracking  # MLflow takes seconds to import

    names = {a.known().details["registered_model"] for a in lake.artifacts("report")}
    standing = [tracking.champion(lake.root, name) for name in sorted(names)]
    return [found["digest"] for found in standing if found]
