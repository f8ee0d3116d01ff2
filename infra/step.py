"""What a step is, said once, and one order to run it.

A step's module holds its declaration `STEP = Step(...)` and the function `run` that `Step.module`
names. Order, command, form, plan, funnel and lineage follow from the declarations
(`flows/chain/steps.py` lists them). A `Task` is a step with its parameters and inputs bound: it
knows its identity, hence the digest, hence whether the artifact is there, without running anything,
and travels to a child process as JSON.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from infra.crawl import Source, crawl_digest
from infra.lake import Artifact, Lake
from infra.lake.rows import DOCUMENTS as DOCUMENTS
from infra.lake.shards import ShardMap
from infra.manifest import SHORT, Identity, Manifest, versions_of
from infra.parameters import build, identity_of, plain

CRAWL = "crawl"
"""The role of raw crawl files: they are bound by the user's input, no step of a run makes them."""


class Launch(StrEnum):
    """How a step runs."""

    SPARK = "spark"
    """In the Spark driver that all Spark steps of a run share."""
    TORCHRUN = "torchrun"
    CHILD = "child"
    """In a process of its own."""
    HERE = "here"


@dataclass(frozen=True)
class Rate:
    """What a plan expects of a step before the lake has measurements of its own.

    seconds  wall time a unit
    start    wall time of a process's start
    unit     what the time grows with: documents, the `steps` of its parameters, or nothing (`run`)
    kept     rows out a row in
    """

    seconds: float
    unit: Literal["document", "step", "run"] = "document"
    kept: float = 1.0
    start: float = 0.0


def no_maps(task: "Task") -> tuple[ShardMap, ...]:
    """For a step that treats no rows one by one."""
    return ()


@dataclass(frozen=True)
class Step:
    """A step's declaration.

    name        the verb: command, section of the parameters, request and manifest use it
    kind        kind of artifact that it writes: a folder below the lake's root
    version     raised whenever the same parameters and inputs give another result
    help        one line about it
    parameters  parameter dataclass (`infra.parameters`)
    reads       roles of its inputs, the main one first
    role        what its output is to later steps; the kind where it is empty. Several steps may
                play `documents`: each reads what the one before it in the list of steps wrote, and
                everybody else reads the last one's
    module      Python module whose `run` executes it
    launch      how it runs
    funnel      whether its counts are a stage of the funnel
    optional    whether a run may leave it out (`without`); a single step asked for raw input
                leaves it out too
    rate        first guess of time and rows
    maps        its row-by-row work, done shard by shard (`infra.lake.shards`)
    libraries   packages another version of which may give another result, and `python`

    What its artifact holds, for the reference:

    files       the artifact's own files: name or glob below its folder -> what it is
    details     key of the manifest's details -> what it says
    reasons     why it rejects a row: reason -> what it means
    """

    name: str
    kind: str
    version: int
    help: str
    parameters: type
    reads: tuple[str, ...]
    module: str
    launch: Launch
    role: str = ""
    funnel: bool = False
    optional: bool = False
    rate: Rate = Rate(0.01)
    maps: Callable[["Task"], tuple[ShardMap, ...]] = field(default=no_maps, compare=False)
    files: Mapping[str, str] = field(default_factory=dict, compare=False)
    details: Mapping[str, str] = field(default_factory=dict, compare=False)
    reasons: Mapping[str, str] = field(default_factory=dict, compare=False)
    libraries: tuple[str, ...] = ()

    @property
    def plays(self) -> str:
        """The role of its output."""
        return self.role or self.kind


@dataclass(frozen=True)
class Task:
    """A step with everything bound.

    inputs  role -> artifact; it need not be there yet
    crawl   raw files, for a step that reads `crawl`
    """

    step: Step
    lake: Lake
    name: str
    parameters: Any
    inputs: dict[str, Artifact] = field(default_factory=dict)
    crawl: tuple[Source, ...] = ()

    @property
    def identity(self) -> Identity:
        """What the artifact's digest is taken over; an input counts by its reference's digest."""
        inputs = {role: artifact.digest for role, artifact in self.inputs.items()}
        if self.crawl:
            inputs[CRAWL] = crawl_digest(self.crawl)
        parameters = identity_of(self.parameters)
        step = self.step
        libraries = versions_of(step.libraries)
        return Identity(step.kind, step.name, step.version, parameters, inputs, libraries)

    @property
    def artifact(self) -> Artifact:
        """The artifact that the task writes."""
        return self.lake.artifact(self.identity, self.name)

    def request(self) -> dict[str, Any]:
        """The task as JSON-ready data."""
        return {
            "step": self.step.name,
            "root": self.lake.root,
            "name": self.name,
            "parameters": plain(self.parameters),
            "inputs": {role: [a.kind, a.name, a.digest] for role, a in self.inputs.items()},
            "crawl": [
                [s.uri, s.name, s.size_bytes, s.content, s.source, s.copy] for s in self.crawl
            ],
        }

    @classmethod
    def from_request(cls, step: Step, request: dict[str, Any]) -> "Task":
        """The task that `request` describes."""
        lake = Lake(request["root"])
        inputs = request["inputs"].items()
        return cls(
            step=step,
            lake=lake,
            name=request["name"],
            parameters=build(step.parameters, request["parameters"], step.name),
            inputs={role: Artifact(lake.root, *reference) for role, reference in inputs},
            crawl=tuple(Source(*source) for source in request["crawl"]),
        )


def summary(task: Task, manifest: Manifest, hit: bool) -> dict[str, Any]:
    """The one JSON object that a step prints.

    Counts and details stand beside the fields of every step, never in their place.
    """
    counts = manifest.counts
    shown = manifest.details.items()
    details = {key: value for key, value in shown if isinstance(value, int | float | str)}
    fixed = {
        "kind": manifest.kind,
        "name": task.name,
        "digest": manifest.digest[:SHORT],
        "path": task.artifact.uri,
        "hit": hit,
        "rows_in": counts.rows_in,
        "rows_out": counts.rows_out,
        "rejected": counts.rejected,
        "seconds": 0.0 if hit else manifest.seconds,
    }
    return {**fixed, **counts.extra, **details, **fixed}
