"""What the command prints: tables and progress for people, or one JSON object."""

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.card.figures import short
from flows.card.funnel import funnel
from flows.chain.plan import Line
from flows.running.children import Outcome
from infra import storage
from infra.lake import Artifact
from infra.lake.collect import Freed
from infra.manifest import Manifest
from infra.show import duration, escaped_json, json_line, printable

PIPE_WIDTH = 160
COLUMNS = {
    **dict.fromkeys(("kind", "name", "digest"), 0),
    **dict.fromkeys(("rows", "MB"), 60),
    **dict.fromkeys(("made", "seconds"), 80),
    "from": 120,
}
"""Columns of `ls`, and the width of a terminal from which each is shown."""
out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def one_object(value: dict[str, Any]) -> None:
    """The JSON object of `--json`."""
    sys.stdout.write(json_line(value) + "\n")


def text(value: str) -> None:
    """Plain text, of several lines maybe."""
    sys.stdout.write(printable(value, lines=True) + "\n")


def plain(value: object) -> str:
    """A value on one line as `out` prints it: text of others is no markup and steers nothing."""
    return escape(printable(str(value)))


def starts_from(artifact: Artifact, found: Manifest, quiet: bool) -> None:
    """What a step begins with that was not told."""
    if not quiet:
        made = datetime.fromisoformat(found.started_at) + timedelta(seconds=found.seconds)
        ago = duration(max(0.0, (datetime.now(UTC) - made).total_seconds()))
        out.print(f"starts from {plain(artifact.path)}, finished {ago} ago; --input names another")


def outcome(result: Outcome, quiet: bool) -> None:
    """One line about a finished step."""
    if quiet:
        return
    (stage,) = funnel([(result.task.step.name, result.manifest)]).stages
    state = "there already" if result.hit else duration(result.manifest.seconds)
    out.print(
        f"[bold]{stage.step:9}[/] {stage.rows_in:>8,} in  {stage.rows_out:>8,} out"
        f"  {stage.rejected:>7,} rejected  {plain(result.task.artifact.uri)}  [dim]{state}[/]"
    )


def plan_table(lines: list[Line]) -> None:
    """Steps with hit or rebuild, the reason, and what to expect."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("step", "", "why", "shards", "documents", "tokens", "time"):
        numbers = heading in ("documents", "tokens", "time")
        table.add_column(heading, justify="right" if numbers else "left")
    for line in lines:
        documents = "" if line.documents is None else f"~{line.documents:,}"
        tokens = "" if line.tokens is None else f"~{line.tokens:,}"
        state = "[green]hit[/]" if line.hit else "[yellow]rebuild[/]"
        table.add_row(
            line.step,
            state,
            plain(line.reason),
            line.shards,
            documents,
            tokens,
            "" if line.hit else f"~{duration(line.seconds)}",
        )
    out.print(table)


def row(artifact: Artifact, manifest: Manifest) -> dict[str, Any]:
    """An artifact in one JSON object."""
    return {
        "kind": artifact.kind,
        "name": artifact.name,
        "digest": short(manifest.digest),
        "path": artifact.uri,
        "step": manifest.step,
        "rows_out": manifest.counts.rows_out,
        "bytes": sum(f.size_bytes for f in manifest.files),
        "started_at": manifest.started_at,
        "seconds": manifest.seconds,
        "inputs": {role: short(digest) for role, digest in manifest.inputs.items()},
    }


def stored_row(artifact: Artifact, manifest: Manifest | None, damage: str) -> dict[str, Any]:
    """As `row`, with `damaged`: what is wrong with it, or null."""
    place = {"kind": artifact.kind, "name": artifact.name, "digest": short(artifact.digest)}
    known = row(artifact, manifest) if manifest else {**place, "path": artifact.uri}
    return {**known, "damaged": damage or None}


def artifact_table(found: Sequence[tuple[Artifact, Manifest | None, str]]) -> None:
    """A line an artifact: its manifest, None where that is damaged, and what is wrong with it,
    below the table. Columns that a narrow terminal has no room for are left out."""
    shown = [name for name, width in COLUMNS.items() if out.width >= width]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in shown:
        table.add_column(
            heading,
            justify="right" if heading in ("rows", "MB", "seconds") else "left",
            overflow="fold",
            no_wrap=heading not in ("name", "from"),
        )
    for artifact, m, damage in found:
        cells = {"kind": artifact.kind, "name": artifact.name, "digest": short(artifact.digest)}
        if m is not None:
            cells |= {
                "rows": f"{m.counts.rows_out:,}",
                "MB": f"{sum(f.size_bytes for f in m.files) / 1e6:.1f}",
                "made": m.started_at[:16].replace("T", " "),
                "seconds": f"{m.seconds:.1f}",
                "from": " ".join(f"{role}:{short(digest)}" for role, digest in m.inputs.items()),
            }
        style = "red" if damage else ""
        table.add_row(*(plain(cells.get(heading, "")) for heading in shown), style=style)
    out.print(table)
    for artifact, _, damage in found:
        if damage:
            place = f"{artifact.kind}/{artifact.name}/{short(artifact.digest)}"
            out.print(f"[red]damaged[/] {plain(place)}: {plain(damage)}")


def crawl_files(crawl: list[dict[str, Any]]) -> None:
    """The crawl files at the end of a lineage."""
    for source in crawl:
        out.print(
            f"crawl file {plain(source['uri'])}  {source['bytes']:,} bytes"
            f"  {plain(short(str(source['content'])))}"
        )


def manifest(value: Manifest, as_json: bool) -> None:
    """The manifest as it is stored, on one line with `--json`."""
    stored = value.to_json().decode()
    if as_json:
        one_object(json.loads(stored))
    else:
        text(escaped_json(stored))


def closing(outcomes: list[Outcome]) -> None:
    """After a whole run: what was made or skipped, the numbers, a sample, and how to look at it."""
    from infra import tracking  # MLflow takes seconds to import

    for each in outcomes:
        outcome(each, False)
    by_step = {o.task.step.name: o for o in outcomes}
    scores, report = by_step["evaluate"], by_step["report"]
    samples = json.loads(storage.read_bytes(scores.task.artifact.file("samples.json")))
    first = samples[0] if samples else {"prompt": "", "text": ""}
    sample(first["prompt"], first["text"][:400])
    out.print(f"\n[bold]val bits per byte[/]  {scores.manifest.details['val_bits_per_byte']:.4f}")
    out.print(f"[bold]report card[/]        {plain(report.task.artifact.file('report.html'))}")
    here = os.path.relpath(os.path.dirname(sys.executable))
    mlflow = tracking.ui_command(report.task.lake.root, f"{here}/gristmill")
    out.print(f"[bold]Prefect page[/]       {here}/gristmill serve prefect")
    out.print(f"[bold]MLflow page[/]        {plain(mlflow)}")


def sample(prompt: str, continued: str) -> None:
    """A text that a model went on with, of several lines maybe."""
    prompt, continued = (escape(printable(each, lines=True)) for each in (prompt, continued))
    out.print(f"\n[bold]sample[/]  {prompt}[italic]{continued}[/]")


def freed(found: Freed, dry_run: bool) -> None:
    """What `gc` removed, or would."""
    for artifact in found.artifacts:
        out.print(plain(artifact))
    said = "would free" if dry_run else "freed"
    out.print(
        f"{said} {found.size_bytes / 1e6:,.1f} MB: {len(found.artifacts)} artifacts,"
        f" {len(found.shards)} shards, {found.files} files in all"
    )


def ways(found: list[dict[str, Any]]) -> None:
    """What `why` found of each row, a line a step."""
    for number, way in enumerate(found):
        if number:
            out.print()
        out.print(f"[bold]{plain(way['url'])}[/]")
        lines = way_lines(way)
        width = max(len(label) for label, _ in lines)
        for label, said in lines:
            out.print(plain(f"  {label:{width}}  {said}"))


def way_lines(way: dict[str, Any]) -> list[tuple[str, str]]:
    """A row's way as (label, text); a line without a label goes on with the one before it."""
    crawl, stored = way["crawl"], way["stored"]
    lines = [
        ("doc_id", way["doc_id"]),
        ("crawl", f"{crawl['uri'] or crawl['file']} at {crawl['offset']}"),
        ("stored", f"{stored['file']} row {stored['row']}"),
    ]
    if way["title"]:
        lines.insert(1, ("title", way["title"]))
    for verdict in way["verdicts"]:
        said, *more = verdict_lines(verdict)
        lines += [(verdict["step"], said), *(("", each) for each in more)]
    for row in way["tokens"]:
        first, last = row["first_token"], row["first_token"] + row["n_tokens"] - 1
        place = f"{row['file']} row group {row['row_group']} row {row['row']}"
        lines.append(("tokens", f"{row['split']}: {row['n_tokens']:,} at {place}"))
        lines.append(("", f"tokens {first:,} to {last:,} of the row group"))
    for seen in way["checkpoints"]:
        said = f"drawn {times(seen['drawn'])} in {seen['steps']:,} steps"
        if seen["final_step"] != seen["steps"]:
            until = f"until step {seen['final_step']:,}, whose weights are final"
            said += f"; {times(seen['drawn_by_final_step'])} {until}"
        lines.append(("training", f"{seen['artifact']}  {said}"))
    return lines


def times(count: int) -> str:
    """`1 time`, `2 times`."""
    return f"{count:,} time" + ("" if count == 1 else "s")


def verdict_lines(verdict: dict[str, Any]) -> list[str]:
    """A step's verdict on a row, then what decided, a line each."""
    if verdict["verdict"] == "kept":
        size = verdict.get("cluster_size")
        lines = ["kept" + (f", the best of a cluster of {size}" if size else "")]
    else:
        lines = [f"rejected: {verdict['reason'] or 'not among the rows that the step kept'}"]
    if detail := verdict.get("detail"):
        lines.append(detail)
    if rule := verdict.get("rule"):
        lines.append(f"must hold: {rule}")
    if kept := verdict.get("duplicate_of"):
        alike = f"{verdict['duplicate']}, similarity {verdict['similarity']:.3f}"
        lines.append(f"of {kept['url']} ({kept['doc_id']}): {alike}")
    values = verdict.get("values", {}).items()
    return lines + [
        f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in values
    ]
