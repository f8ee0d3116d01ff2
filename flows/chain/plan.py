"""The dry run: for each step of a chain, hit or rebuild, why, and what to expect. Nothing is
started or written.

Expectations come from the newest artifact that the same step wrote in this lake, of the same name
if there is one (rows kept per row, seconds per row); where there is none, from the step's declared
rate. The start of processes is counted, of Spark's once. They are for orientation: a
plan says how long, not how fast. Shards are counted exactly: which of those that a step needs are
in the lake.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from infra.lake.damage import Stored
from infra.lake.rows import stacks_of
from infra.lake.shards import name_of, there
from infra.manifest import SHORT, Identity, Manifest
from infra.parameters import flatten
from infra.step import DOCUMENTS, Launch, Task
from jobs.crawl.bundles import bundles

PAGE_BYTES = 16_000
"""Compressed bytes of a crawl file a page: between 12,000 and 40,000 in common crawls."""
TOKENS_PER_DOCUMENT = 900
SPARK_SECONDS = 10.0
"""From the call to Spark's first task."""
INPUT, LIBRARY = "input ", "library "
Names = list[list[str]]


@dataclass(frozen=True)
class Line:
    """One row of the plan. Expectations are None where the step has no such figure; `shards` is
    empty where it has none."""

    step: str
    path: str
    hit: bool
    reason: str
    shards: str
    documents: int | None
    tokens: int | None
    seconds: float


def plan(tasks: list[Task]) -> list[Line]:
    """A line for each task of the chain."""
    lines = []
    shards = _Shards()
    documents = 0.0
    tokens: int | None = None
    spark_starts = True
    made = {task.artifact.digest for task in tasks}
    for task in tasks:
        step = task.step
        found, damage = task.artifact.examined(Stored(task.lake.root))
        manifest = None if damage else found
        last = _last(task)
        if task.crawl:
            documents = sum(source.size_bytes for source in task.crawl) / PAGE_BYTES
        given = task.inputs.get(DOCUMENTS)
        if given and given.digest not in made and (read := given.legible()):
            documents = read.counts.rows_out
        kept, pace = _rates(task, last or _last(task, any_name=True))
        if manifest:
            seconds = 0.0
            documents = manifest.counts.rows_out if step.funnel else documents
            tokens = _tokens(manifest) or tokens
        else:
            units = {"document": documents, "run": 1, "step": getattr(task.parameters, "steps", 1)}
            seconds = step.rate.start + pace * units[step.rate.unit]
            if step.launch is Launch.SPARK and spark_starts:
                seconds, spark_starts = seconds + SPARK_SECONDS, False
            documents *= kept if step.plays == DOCUMENTS else 1
            if step.plays == "tokens":
                tokens = int(documents * TOKENS_PER_DOCUMENT)
        lines.append(
            Line(
                step.name,
                task.artifact.uri,
                manifest is not None,
                f"damaged: {damage[0].line}" if damage else why(task, manifest, last),
                shards.count(task, manifest, {name_of(each.path) for each in damage}),
                int(documents) or None,
                tokens,
                seconds,
            )
        )
    return lines


class _Shards:
    """The names of the shards along a chain, known from declarations alone, and which of them are
    there."""

    def __init__(self) -> None:
        self._names: dict[str, Names | None] = {}
        self._there = cache(there)

    def count(self, task: Task, manifest: Manifest | None, damaged: set[str]) -> str:
        """How many shards of each map are there, but for the damaged ones, and how many are new;
        remembers them for the steps that follow."""
        names = self._read(task)
        said = []
        if manifest is None:
            for shard_map in task.step.maps(task):
                if task.crawl:
                    made = [shard_map.shard_name(b.identity()) for b in bundles(task.crawl)]
                    names = [[name] for name in made]
                elif names is None:
                    return ""
                else:
                    made = [shard_map.shard_name(name) for name in names]
                    if shard_map.layer:
                        names = [[*before, name] for before, name in zip(names, made)]
                there = self._there(task.lake.root, shard_map.name) - damaged
                found = len(there.intersection(made))
                said.append(f"{shard_map.name} {found} there, {len(made) - found} new")
        elif task.step.plays == DOCUMENTS:
            names = [stack.names for stack in stacks_of(manifest)]
        self._names[task.artifact.digest] = names
        return "; ".join(said)

    def _read(self, task: Task) -> Names | None:
        """The shards of the documents that the task reads."""
        documents = task.inputs.get(DOCUMENTS)
        if documents is None:
            return None
        if documents.digest not in self._names:
            manifest = documents.sound()
            stacks = stacks_of(manifest) if manifest else []
            self._names[documents.digest] = [s.names for s in stacks] if manifest else None
        return self._names[documents.digest]


def _last(task: Task, *, any_name: bool = False) -> Manifest | None:
    """The manifest of the newest artifact that the same step wrote, under the task's name."""
    before = task.lake.newest(task.step.kind, name=None if any_name else task.name)
    return before.legible() if before else None


def _tokens(manifest: Manifest) -> int | None:
    return sum(v for k, v in manifest.counts.extra.items() if k.startswith("tokens_")) or None


def _rates(task: Task, last: Manifest | None) -> tuple[float, float]:
    """(rows kept a row, seconds a unit)."""
    rate = task.step.rate
    if last and rate.unit == "run":
        return 1.0, last.seconds
    if last and last.counts.rows_in:
        units = last.details.get("steps") if rate.unit == "step" else last.counts.rows_in
        return last.counts.rows_out / last.counts.rows_in, last.seconds / max(1, units or 1)
    return rate.kept, rate.seconds


def why(task: Task, manifest: Manifest | None, last: Manifest | None) -> str:
    """Why the step is a hit or is run: the fields that differ from the newest artifact of that
    name."""
    if manifest:
        return f"finished {age(manifest.started_at)}, manifest verifies"
    if last is None:
        return "not there yet"
    mine, theirs = declared(task.identity), declared(last.identity)
    changed = [key for key in sorted(mine | theirs) if mine.get(key) != theirs.get(key)]
    inputs = [key.removeprefix(INPUT) for key in changed if key.startswith(INPUT)]
    fields = [
        f"{key.removeprefix(LIBRARY)}{' ' if key.startswith(LIBRARY) else ': '}"
        f"{shown(theirs.get(key))} -> {shown(mine.get(key))}"
        for key in changed
        if not key.startswith(INPUT)
    ]
    return "; ".join(fields[:3] + ([f"other {' and '.join(inputs)}"] if inputs else []))


def declared(identity: Identity) -> dict[str, Any]:
    """The declared fields of an identity, flat: `parameter.x`, `input role`, `library name`,
    `version` -> value."""
    inputs = {f"{INPUT}{role}": digest[:SHORT] for role, digest in identity.inputs.items()}
    libraries = {f"{LIBRARY}{name}": version for name, version in identity.libraries.items()}
    fields = flatten(identity.parameters)
    return {"version": identity.version, **inputs, **libraries, **fields}


def shown(value: Any) -> str:
    """A value of a parameter in at most 40 characters."""
    text = "-" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def age(started_at: str) -> str:
    """`2026-11-22 10:00` as the manifest has it."""
    return started_at[:16].replace("T", " ")
