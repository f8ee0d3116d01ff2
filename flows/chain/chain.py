"""From parameters to tasks: which steps lead from what is there (crawl files or an artifact) to what is wanted.

Identities follow from declarations alone, so the whole chain, with every digest, is known before anything runs.
"""

from typing import Any

from flows.chain.parameters import PipelineParameters
from flows.chain.steps import QUALITY, STEPS
from infra.errors import UsageError
from infra.lake import Artifact, Lake
from infra.step import Source, Task, sources_of

ORDER = (
    "extract",
    "filter",
    "dedup",
    "tokenizer",
    "tokenize",
    "train",
    "evaluate",
    "export",
    "report",
)
ROLES = {"documents": "documents", "clean": "documents", "dedup": "documents"}
"""Kind of artifact -> the role in which later steps read it, where they differ."""


def chain(
    parameters: PipelineParameters,
    goal: str = "report",
    start: Artifact | None = None,
    quality: bool = True,
) -> list[Task]:
    """The tasks that lead to `goal`, in order.

    start    an artifact to begin from; the crawl files of `parameters.input` otherwise
    quality  include filter and dedup on the way (a whole run does; a single step asked for raw input does not)
    Raises UsageError when the way does not exist.
    """
    lake = Lake.at(parameters.root)
    if start is None and not parameters.input:
        raise UsageError(
            f"{goal}: give --input: crawl files, a directory, a quoted glob, s3:// or https://"
        )
    crawl: list[Source] = [] if start else sources_of(parameters.input)
    have = lineage_roles(lake, start) if start else {}
    tasks: list[Task] = []
    for name in ORDER:
        step = STEPS[name]
        role = ROLES.get(step.kind, step.kind)
        wanted = name == goal or (quality or name not in QUALITY)
        there = role in have and role != "documents"
        passed = (
            start is not None
            and name in (*QUALITY, "extract")
            and not (name == goal and "documents" in have)
        )
        if (
            not wanted
            or (there and name != goal)
            or passed
            or (name == "export" and goal not in ("export", "report"))
        ):
            continue
        if name != "extract" and any(r not in have for r in step.inputs):
            missing = next(r for r in step.inputs if r not in have)
            raise UsageError(
                f"{name}: needs {missing}; give --input an artifact that leads there (`gristmill ls` lists them)"
            )
        task = Task(
            step=step,
            lake=lake,
            name=parameters.name,
            parameters=parameters.section(name),
            inputs={r: have[r] for r in step.inputs if r != "crawl"},
            crawl=crawl if name == "extract" else [],
        )
        tasks.append(task)
        have[role] = task.artifact
        if name == goal:
            break
    return tasks


def lineage_roles(lake: Lake, artifact: Artifact) -> dict[str, Artifact]:
    """The artifact and all it was made from, by the role in which a later step reads them; the nearest one wins."""
    have: dict[str, Artifact] = {}
    for ancestor in lake.ancestors(artifact):
        have.setdefault(ROLES.get(ancestor.kind, ancestor.kind), ancestor)
    return have


def start_of(lake: Lake, references: list[str], goal: str, name: str) -> Artifact | None:
    """What `--input` names: an artifact of the lake, or None when it names crawl files.

    Without any reference: the newest artifact with this name that can be the main input of `goal`.
    """
    main = STEPS[goal].inputs[0]
    if not references:
        kinds = [kind for kind, role in ROLES.items() if role == main] or [main]
        if main == "crawl":
            raise UsageError(f"{goal}: give --input: crawl files, a directory or a URI")
        candidates = [
            a
            for kind in kinds
            for a in lake.artifacts(kind)
            if a.name == name and kind != STEPS[goal].kind
        ]
        if not candidates:
            raise UsageError(
                f"{goal}: no {main} named '{name}' in {lake.root}; give --input or run the step before"
            )
        return lake.find(candidates[-1].uri)
    if len(references) == 1 and goal != "extract":
        try:
            return lake.find(references[0])
        except UsageError as error:
            if "several" in str(error):
                raise
    return None


def declared(task: Task) -> dict[str, Any]:
    """The flat declared fields of a task: `parameter.x`, `input.role`, `version` -> value, for comparing identities."""
    identity = task.identity
    flat: dict[str, Any] = {"version": identity.version}
    flat |= {f"input {role}": digest[:12] for role, digest in identity.inputs.items()}
    return flat | flatten(identity.parameters)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= (
            flatten(value, f"{prefix}{key}.")
            if isinstance(value, dict)
            else {f"{prefix}{key}": value}
        )
    return flat
