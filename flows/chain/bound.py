"""What a run starts from, bound once: which of the user's `input` are artifacts of the lake, and
which crawl files the others name, each with its content.

The command, the flow and its subflows share the value (`bound`): a crawl file that arrives during a
run is not part of it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from flows.chain.steps import STEPS, makers, place
from infra import storage
from infra.crawl import Source, declared, sources_of
from infra.errors import DamagedError, UsageError
from infra.lake import Artifact, Lake
from infra.lake.writer import claim_of
from infra.manifest import MANIFEST_NAME
from infra.step import CRAWL, Step
from infra.storage.claim import is_held

GLOB = frozenset("*?[")


@dataclass(frozen=True)
class Start:
    """What is there before anything runs.

    crawl      raw files, by name and content
    artifacts  role -> artifact: those named in `input` and, where no crawl files are, all that they
               were made from
    makers     role -> name of the step that made the artifact
    """

    crawl: tuple[Source, ...] = ()
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    makers: dict[str, str] = field(default_factory=dict)


_BOUND: ContextVar[tuple[tuple[str, ...], Start] | None] = ContextVar("bound", default=None)


def start_of(root: str, references: list[str]) -> Start:
    """What these inputs are; inside `bound`, the value that it holds for them.

    Raises UsageError for an input that is nothing.
    """
    held = _BOUND.get()
    if held is not None and held[0] == (root, *references):
        return held[1]
    lake = Lake.at(root)
    artifacts: list[Artifact] = []
    crawled: list[str] = []
    for reference in dict.fromkeys(references):
        source, named = declared(reference)
        found = _artifact(lake, named)
        if found is None:
            crawled.append(reference)
            continue
        artifacts.append(found)
        if _maker(found).plays == CRAWL:
            crawled += [f"{source or _maker(found).name}={uri}" for uri in found.data_uris()]
        elif source:
            raise UsageError(
                f"{reference}: only crawl files have a source to declare, and this is an artifact"
                f" made of them; write --input {named}"
            )
    crawl = sources_of(crawled, lake.root) if crawled else ()
    start = Start(crawl)
    for given in artifacts:
        # crawl files replace what an artifact was made from: a tokenizer given beside them is used
        # on them
        for artifact in [given] if crawl else lake.ancestors(given):
            try:
                maker = _maker(artifact)
            except DamagedError:
                if artifact == given:
                    raise
                continue  # the steps ahead may need nothing of what it was made from
            if maker.plays != CRAWL and maker.plays not in start.artifacts:
                start.artifacts[maker.plays] = artifact
                start.makers[maker.plays] = maker.name
    return start


def _maker(artifact: Artifact) -> Step:
    return STEPS[artifact.known().step]


@contextmanager
def bound(root: str, references: list[str]) -> Iterator[None]:
    """Inside the block these inputs are what they are now."""
    token = _BOUND.set(((root, *references), start_of(root, references)))
    try:
        yield
    finally:
        _BOUND.reset(token)


def newest_for(lake: Lake, goal: str, role: str, name: str) -> Artifact:
    """The newest artifact of that name that can be the main input of `goal`.

    Raises UsageError when there is none, or when a later step (or the same one) has begun a newer
    one and not finished it: what the user means to go on from is not there yet.
    """
    kinds = [step.kind for step in makers(role) if place(step.name) < place(goal)]
    found = lake.newest(*kinds, name=name)
    since = storage.modified(found.file(MANIFEST_NAME)) or 0.0 if found else 0.0
    later = kinds[kinds.index(found.kind) :] if found else kinds
    for kind in reversed(later):
        begun = [(when, a) for a, when in lake.attempts(kind) if a.name == name and when > since]
        for _, attempt in sorted(begun, key=lambda each: -each[0]):
            (maker,) = (step.name for step in STEPS.values() if step.kind == kind)
            instead = f", or give --input {found.path}" if found else ""
            if is_held(claim_of(attempt)):
                raise UsageError(
                    f"{goal}: `{maker}` is writing {attempt.path} just now; wait for it{instead}"
                )
            raise UsageError(
                f"{goal}: `{maker}` began {attempt.path} and did not finish it; finish it"
                f" (`gristmill {maker}`), remove it (`gristmill rm {attempt.path}`){instead}"
            )
    if found is None:
        raise UsageError(
            f"{goal}: no {role} named '{name}' in {lake.root}; give --input or run the step before"
        )
    return found


def _artifact(lake: Lake, reference: str) -> Artifact | None:
    """The artifact that an input names; None for crawl files."""
    if GLOB & set(reference):
        return None
    if storage.is_local(reference) and os.path.isfile(storage.local_path(reference)):
        return None
    try:
        return lake.find(reference)
    except UsageError as error:
        if "several" in str(error):
            raise
        return None
