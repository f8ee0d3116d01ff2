"""How two artifacts, or two whole runs, differ: parameters, versions, inputs, counts, scores.

In: two artifacts of a lake. They are compared with all that they were made from, kind by kind, so
that a score that moved and the parameter that moved it stand in one answer. Out: one plain object:

    left, right  path of each
    kinds        of each kind in either way, that of the data first:
        kind, left, right   path of the artifact, null where there is none
        same                whether both are one result: equal digests, equal content
        parameters          dotted key -> [left, right], where they differ
        versions            step, libraries, revision -> [left, right], where they differ
        inputs              role -> [left, right] digests, where they differ
        counts, details     name -> [left, right], every number that either has; words that differ
    crawl        files in one alone: left, right; in both: common
"""

from collections.abc import Mapping
from typing import Any

from flows.card.figures import short
from flows.chain.steps import kinds as all_kinds
from infra.lake import NAME, Artifact, Lake
from infra.manifest import Manifest
from infra.parameters import flatten

Pair = list[Any]
GROUPS = ("parameters", "versions", "inputs", "counts", "details")
Chain = dict[str, tuple[Artifact, Manifest]]


def named(lake: Lake, reference: str) -> Artifact:
    """The artifact that a reference names; of a run's name, the newest artifact of its last step.

    Raises UsageError where neither is there.
    """
    kinds = all_kinds()
    is_name = NAME.fullmatch(reference) and lake.newest(*kinds, name=reference)
    return is_name or lake.find(reference)


def differences(lake: Lake, left: Artifact, right: Artifact) -> dict[str, Any]:
    """What differs between the two and between what they were made from."""
    sides = (chain_of(lake, left), chain_of(lake, right))
    order = [kind for kind in all_kinds() if any(kind in side for side in sides)]
    order += sorted({kind for side in sides for kind in side}.difference(order))
    files = [crawl_of(side) for side in sides]
    return {
        "left": left.path,
        "right": right.path,
        "kinds": [compared(kind, *(side.get(kind) for side in sides)) for kind in order],
        "crawl": {
            "left": [uri for content, uri in files[0].items() if content not in files[1]],
            "right": [uri for content, uri in files[1].items() if content not in files[0]],
            "common": len(files[0].keys() & files[1].keys()),
        },
    }


def chain_of(lake: Lake, artifact: Artifact) -> Chain:
    """The artifact and what it was made from; of several of a kind, the nearest."""
    found: Chain = {}
    for each in lake.ancestors(artifact):
        found.setdefault(each.kind, (each, each.known()))
    return found


def crawl_of(chain: Chain) -> dict[str, str]:
    """Content -> URI of the crawl files at the beginning of a chain."""
    said = (manifest.details.get("crawl", []) for _, manifest in chain.values())
    return {source["content"]: str(source["uri"]) for sources in said for source in sources}


def compared(
    kind: str, left: tuple[Artifact, Manifest] | None, right: tuple[Artifact, Manifest] | None
) -> dict[str, Any]:
    """One kind of artifact on both sides; of one that stands on one side alone, only where."""
    found: dict[str, Any] = {
        "kind": kind,
        "left": left and left[0].path,
        "right": right and right[0].path,
        "same": False,
    }
    if not (left and right):
        return found | {group: {} for group in GROUPS}
    one, other = left[1], right[1]
    return found | {
        "same": (one.digest, one.content) == (other.digest, other.content),
        "parameters": differing(
            flatten(one.parameters, one.step), flatten(other.parameters, other.step)
        ),
        "versions": differing(versions(one), versions(other)),
        "inputs": differing(inputs(one), inputs(other)),
        "counts": pairs(counts(one), counts(other)),
        "details": numbers(flatten(one.details), flatten(other.details)),
    }


def versions(manifest: Manifest) -> dict[str, Any]:
    """What made the artifact."""
    return {
        "step": f"{manifest.step} {manifest.version}",
        **manifest.tools,
        "revision": manifest.revision,
    }


def inputs(manifest: Manifest) -> dict[str, str]:
    """Role -> digest, as folders have it."""
    return {role: short(digest) for role, digest in manifest.inputs.items()}


def counts(manifest: Manifest) -> dict[str, int]:
    """Rows in, out and rejected by reason, and what else the step counted."""
    said = manifest.counts
    rejected = {f"rejected.{reason}": rows for reason, rows in said.rejected.items()}
    return {"rows_in": said.rows_in, "rows_out": said.rows_out, **rejected, **said.extra}


def pairs(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Pair]:
    """Name -> both values, None where a side has none; the left side's order first."""
    return {name: [left.get(name), right.get(name)] for name in {**left, **right}}


def differing(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Pair]:
    """Those pairs whose values differ."""
    return {name: pair for name, pair in pairs(left, right).items() if pair[0] != pair[1]}


def numbers(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Pair]:
    """Pairs of numbers, and of words where they differ; lists (a curve, the files) are left out."""
    both = pairs(left, right).items()
    return {name: pair for name, pair in both if any(map(is_number, pair)) or words_differ(pair)}


def is_number(value: Any) -> bool:
    """Whether a value can be subtracted."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def words_differ(pair: Pair) -> bool:
    """Whether the pair is of differing words or switches."""
    return pair[0] != pair[1] and all(isinstance(value, str | bool | None) for value in pair)


def difference(pair: Pair) -> float | None:
    """How much more the right side is, where both are numbers."""
    return pair[1] - pair[0] if all(map(is_number, pair)) else None
