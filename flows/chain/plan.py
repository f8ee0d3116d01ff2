"""The dry run: for each step of a chain, hit or rebuild, why, and what to expect. Nothing is started or written.

Expectations come from the newest artifact that the same step wrote in this lake (rows kept per row, seconds per row); where there is
none, from the rates below. They are for orientation: a plan says how long, not how fast.
"""

import time
from dataclasses import dataclass
from typing import Any

from flows.chain.chain import declared, flatten
from infra.lake import Lake
from infra.manifest import Manifest
from infra.step import Task

PAGE_BYTES = 16_000
"""Compressed bytes of a crawl file a page: between 12,000 and 40,000 in common crawls."""
TOKENS_PER_DOCUMENT = 900
RATES: dict[str, tuple[float, float]] = {
    "sample": (1.0, 0.02),
    "extract": (0.5, 0.02),
    "filter": (0.5, 0.004),
    "dedup": (0.9, 0.01),
    "tokenizer": (1.0, 0.003),
    "tokenize": (1.0, 0.004),
    "train": (1.0, 0.2),
    "evaluate": (1.0, 0.05),
    "export": (1.0, 5.0),
    "report": (1.0, 5.0),
}
"""Step -> (rows out a row in, seconds a row), before the lake has measurements of its own."""
ONCE = ("export", "report")
"""Steps whose time does not grow with the documents."""


@dataclass(frozen=True)
class Line:
    """One row of the plan. Expectations are None where the step has no such figure."""

    step: str
    path: str
    hit: bool
    reason: str
    documents: int | None
    tokens: int | None
    seconds: float


def plan(tasks: list[Task]) -> list[Line]:
    """A line for each task of the chain."""
    lines = []
    documents = 0.0
    tokens: int | None = None
    for task in tasks:
        manifest = task.artifact.manifest()
        last = newest(task.lake, task)
        if task.crawl:
            documents = sum(source.size_bytes for source in task.crawl) / PAGE_BYTES
        kept, pace = _rates(task, last)
        rows = (
            task.parameters.steps
            if task.step.name == "train"
            else 1
            if task.step.name in ONCE
            else documents
        )
        if manifest:
            seconds = 0.0
            documents = (
                manifest.counts.rows_out
                if task.step.kind in ("documents", "clean", "dedup", "tokens")
                else documents
            )
            tokens = _tokens(manifest) or tokens
        else:
            seconds = pace * rows
            if task.step.kind in ("documents", "clean", "dedup"):
                documents *= kept
            if task.step.name == "tokenize":
                tokens = int(documents * TOKENS_PER_DOCUMENT)
        lines.append(
            Line(
                task.step.name,
                task.artifact.uri,
                manifest is not None,
                why(task, manifest, last),
                int(documents) or None,
                tokens,
                seconds,
            )
        )
    return lines


def _tokens(manifest: Manifest) -> int | None:
    return sum(v for k, v in manifest.counts.extra.items() if k.startswith("tokens_")) or None


def _rates(task: Task, last: Manifest | None) -> tuple[float, float]:
    kept, pace = RATES[task.step.name]
    if last and last.step in ONCE:
        return 1.0, last.seconds
    if last and last.counts.rows_in:
        rows = last.details.get("steps") or last.details.get("documents") or last.counts.rows_in
        return last.counts.rows_out / last.counts.rows_in, last.seconds / max(1, rows)
    return kept, pace


def newest(lake: Lake, task: Task) -> Manifest | None:
    """The newest finished artifact that this step wrote under this name."""
    found = [a for a in lake.artifacts(task.step.kind) if a.name == task.name]
    manifests = [
        m for m in (a.manifest() for a in reversed(found)) if m and m.step == task.step.name
    ]
    return manifests[0] if manifests else None


def why(task: Task, manifest: Manifest | None, last: Manifest | None) -> str:
    """Why the step is a hit or is run: the fields that differ from the newest artifact of that name."""
    if manifest:
        return f"finished {age(manifest.started_at)}, manifest verifies"
    if last is None:
        return "not there yet"
    mine = declared(task)
    theirs: dict[str, Any] = (
        {"version": last.version}
        | {f"input {r}": d[:12] for r, d in last.inputs.items()}
        | flatten(last.parameters)
    )
    changed = [
        key for key in sorted(mine.keys() | theirs.keys()) if mine.get(key) != theirs.get(key)
    ]
    inputs = [key.removeprefix("input ") for key in changed if key.startswith("input ")]
    fields = [
        f"{key}: {short(theirs.get(key))} -> {short(mine.get(key))}"
        for key in changed
        if not key.startswith("input ")
    ]
    return "; ".join(fields[:3] + ([f"other {' and '.join(inputs)}"] if inputs else []))


def short(value: Any) -> str:
    """A value of a parameter in at most 40 characters."""
    text = "-" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def age(started_at: str) -> str:
    """`2026-11-22 10:00` as the manifest has it."""
    return started_at[:16].replace("T", " ") if started_at else time.strftime("%Y-%m-%d %H:%M")
