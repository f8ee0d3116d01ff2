"""What a step is, and one order to run it: the same words for planning, for the request to a child process and for the child.

A step's module declares `STEP = Step(...)` and `run(...)`. A `Task` is a step with its parameters and inputs bound: it knows the
identity (hence the digest, hence whether the artifact is there) without running anything, and travels to a child as JSON.
"""

from dataclasses import dataclass, field
from typing import Any

from infra.lake import Artifact, Lake
from infra.manifest import Identity, Manifest, digest_of
from infra.parameters import build, identity_of, plain
from infra.storage import FileInfo, content_hash, expand


@dataclass(frozen=True)
class Step:
    """A step's declaration.

    name        the verb: command, request and manifest use it
    kind        kind of artifact that it writes
    version     raised whenever the same parameters and inputs give another result
    parameters  parameter dataclass (`infra.parameters`)
    inputs      roles of its input artifacts, the main one first; `crawl` is the role of raw crawl files
    module      Python module whose `run` executes it
    """

    name: str
    kind: str
    version: int
    parameters: type
    inputs: tuple[str, ...]
    module: str


@dataclass(frozen=True)
class Source:
    """A raw crawl file: where it is, how large, and what its content is (SHA-256, or the store's ETag for a remote file)."""

    uri: str
    size_bytes: int
    content: str


def sources_of(patterns: list[str]) -> list[Source]:
    """The crawl files that globs, directories, paths and URIs name, each file once, sorted by URI. Raises UsageError for none."""
    found: dict[str, FileInfo] = {
        info.uri: info for pattern in patterns for info in expand(pattern)
    }
    return [
        Source(i.uri, i.size_bytes, i.etag or content_hash(i.uri)) for _, i in sorted(found.items())
    ]


@dataclass(frozen=True)
class Task:
    """A step with everything bound. `inputs`: role -> artifact (it need not exist yet); `crawl`: raw files, for `extract` alone."""

    step: Step
    lake: Lake
    name: str
    parameters: Any
    inputs: dict[str, Artifact] = field(default_factory=dict)
    crawl: list[Source] = field(default_factory=list)

    @property
    def identity(self) -> Identity:
        """What the artifact's digest is taken over; an input counts with the digest in its reference."""
        inputs = {role: artifact.digest for role, artifact in self.inputs.items()}
        if self.crawl:
            inputs["crawl"] = digest_of(
                sorted([source.size_bytes, source.content] for source in self.crawl)
            )
        return Identity(
            self.step.kind, self.step.name, self.step.version, identity_of(self.parameters), inputs
        )

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
            "crawl": [[s.uri, s.size_bytes, s.content] for s in self.crawl],
        }

    @classmethod
    def from_request(cls, step: Step, request: dict[str, Any]) -> "Task":
        """The task that `request` describes."""
        lake = Lake(request["root"])
        return cls(
            step=step,
            lake=lake,
            name=request["name"],
            parameters=build(step.parameters, request["parameters"], step.name),
            inputs={
                role: Artifact(lake.root, *reference)
                for role, reference in request["inputs"].items()
            },
            crawl=[Source(*source) for source in request["crawl"]],
        )


def summary(task: Task, manifest: Manifest, hit: bool) -> dict[str, Any]:
    """The one JSON object that a step prints; counts and details stand beside the fields of every step, never in their place."""
    counts = manifest.counts
    details = {
        key: value
        for key, value in manifest.details.items()
        if isinstance(value, int | float | str)
    }
    fixed = {
        "kind": manifest.kind,
        "name": task.name,
        "digest": manifest.digest[:12],
        "path": task.artifact.uri,
        "hit": hit,
        "rows_in": counts.rows_in,
        "rows_out": counts.rows_out,
        "rejected": counts.rejected,
        "seconds": 0.0 if hit else manifest.seconds,
    }
    return {**fixed, **counts.extra, **details, **fixed}
