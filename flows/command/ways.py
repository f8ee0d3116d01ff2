"""A document's row on its way through the steps: where it is stored, and what each step said of it.

In: the artifacts with rows of documents, in the order in which they were made of each other. Out:
plain data. A step speaks of a row in one of two ways, whatever step it is (`infra.lake.rows`): by a
layer beside the rows, whose `reject_reason` drops them, or by lists of the rows that it keeps and
rejects, by `shard` and `row`. Only the columns that are asked for are read, never a text.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.lake import Artifact, parquet
from infra.lake.rows import REASON, ROW, Stack, read_rows, stacks_of
from infra.manifest import SHARDS, Manifest
from jobs.text.rules import LANGUAGE, columns_in

READERS = 8
BATCH_ROWS = 10_000
SHARD, TEXT, DETAIL, DUP = "shard", "text", "detail", "dup"
KEPT, REJECTED = "kept", "rejected"
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Made:
    """A finished artifact."""

    artifact: Artifact
    manifest: Manifest

    @property
    def columns(self) -> dict[str, str]:
        """Column -> type of its rows."""
        return {field["name"]: field["type"] for field in self.manifest.schema}

    @cached_property
    def stacks(self) -> dict[int, Stack]:
        """Its shards, by number."""
        return {stack.shard: stack for stack in stacks_of(self.manifest)}

    def stack(self, shard: int) -> Stack:
        """One shard; without a file where the artifact has no rows of documents."""
        return self.stacks.get(shard, Stack(shard, ()))


@dataclass(frozen=True)
class Place:
    """A row of the first step's output.

    shard  its number; file: the first layer's, or that of the rejected rows, below the lake's root
    row    its number in the file
    """

    shard: int
    file: str
    row: int
    is_rejected: bool


def matching(column: pa.ChunkedArray, values: Sequence[Any]) -> list[int]:
    """Where a column has one of the values."""
    mask = pc.is_in(column, pa.array(values, column.type))
    return list(np.flatnonzero(mask.to_numpy()).tolist())


def facts(root: str, place: Place, columns: Sequence[str]) -> dict[str, Any]:
    """Columns of a row of the first step's output, None where it has no such column."""
    row = parquet.read(root, place.file, columns).slice(place.row, 1).to_pylist()[0]
    return {name: plain(row.get(name)) for name in columns}


def verdicts(root: str, chain: Sequence[Made], place: Place) -> list[dict[str, Any]]:
    """What each step said of a row, up to the one that rejected it.

    Each has `step`, `artifact` and `verdict` (kept or rejected); a rejected one `reason` (null
    where the step lists only what it keeps). Where there is something to say, then:

    rule          the rule that failed, in SQL
    values        of the columns and signals in the rule; of a step without rules, its own columns
    detail        what exactly was wrong
    duplicate_of  doc_id and url of the document that its cluster kept
    similarity    Jaccard similarity for which it was removed; duplicate: `exact` or `near`
    cluster_size  documents in the cluster; none for a document without duplicates
    """
    found: list[dict[str, Any]] = []
    for number, made in enumerate(chain):
        if number:
            before = chain[number - 1]
            said = by_layers(root, made, before, place) or by_lists(root, made, before, place)
        elif place.is_rejected:
            row = facts(root, place, [REASON, DETAIL])
            said = rejected(row[REASON], {DETAIL: row[DETAIL]})
        else:
            said = {"verdict": KEPT}
        found.append({"step": made.manifest.step, "artifact": made.artifact.path, **said})
        if said["verdict"] == REJECTED:
            break
    return found


def rejected(reason: str | None, because: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict on a row that a step rejected; values that are None are left out."""
    known = {name: value for name, value in because.items() if value is not None}
    return {"verdict": REJECTED, "reason": reason, **known}


def by_layers(root: str, made: Made, before: Made, place: Place) -> dict[str, Any] | None:
    """The verdict of the layers that a step added, None where none of them drops the row."""
    layers = made.stack(place.shard).layers
    for end in range(len(before.stack(place.shard).layers), len(layers)):
        part = Stack(place.shard, layers[: end + 1])
        reason = row_of(root, part, place.row, []).get(REASON)
        if reason is not None:
            return rejected(reason, deciding(root, made, before, part, place.row, reason))
    return None


def row_of(root: str, stack: Stack, number: int, columns: Sequence[str]) -> dict[str, Any]:
    """Columns of one row of a shard, also where its last layer drops it."""
    for batch in read_rows(root, stack, columns, judged=True, batch_rows=BATCH_ROWS):
        for row in batch.filter(pc.equal(batch.column(ROW), number)).to_pylist():
            return dict(row)
    return {}


def deciding(
    root: str, made: Made, before: Made, stack: Stack, number: int, reason: str
) -> dict[str, Any]:
    """What a layer decided by: the rule of that name with its columns and signals; where there is
    none, the columns that the step added."""
    named = rules_of(made.manifest.parameters)
    if reason not in named:
        names = [DETAIL, *own_columns(made, before)]
        row = row_of(root, stack, number, names)
        return {DETAIL: row.pop(DETAIL, None), "values": values(row, names) or None}
    rule = {reason: named[reason]}
    structs = [name for name, kind in made.columns.items() if kind.startswith("struct<")]
    names = [name for name in columns_in(rule, made.columns) if name != TEXT]
    row = row_of(root, stack, number, [*names, *structs])
    members = (row.pop(name).items() for name in structs if isinstance(row.get(name), dict))
    flat = row | {name: value for each in members for name, value in each}
    return {"rule": rule[reason], "values": values(flat, columns_in(rule, flat))}


def rules_of(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Reason -> rule of a step that decides by rules; that of `languages` is made of their list."""
    rules = dict(parameters.get("rules") or {})
    if languages := parameters.get("languages"):
        rules[LANGUAGE] = f"lang IN ({', '.join(repr(code) for code in languages)})"
    return rules


def by_lists(root: str, made: Made, before: Made, place: Place) -> dict[str, Any]:
    """The verdict of a step's lists of rows: rejected where it lists the row as that, or lists kept
    rows without this one; else kept."""
    inherited = {entry.path for entry in before.manifest.files}
    refused = [
        entry.path
        for entry in made.manifest.files
        if entry.is_rejected and entry.path not in inherited
    ]
    lists = made.stack(place.shard).keyed[len(before.stack(place.shard).keyed) :]
    own = own_columns(made, before)
    for row in listed(root, refused, place, [REASON, DETAIL, *own]):
        reason, detail = row.pop(REASON, None), row.pop(DETAIL, None)
        return rejected(reason, {DETAIL: detail, **of_list(root, made, row)})
    for row in listed(root, lists, place, own):
        return {"verdict": KEPT, **of_list(root, made, row)}
    return rejected(None, {}) if lists else {"verdict": KEPT}


def listed(
    root: str, paths: Sequence[str], place: Place, columns: Sequence[str]
) -> list[dict[str, Any]]:
    """What these files say of a row."""

    def look(path: str) -> list[dict[str, Any]]:
        rows = parquet.read(root, path, [ROW, *columns], (SHARD, place.shard))
        mine = rows.filter(pc.equal(rows[ROW], place.row)).drop_columns([ROW])
        return list(mine.to_pylist())

    return [row for rows in at_once(look, paths) for row in rows]


def of_list(root: str, made: Made, row: dict[str, Any]) -> dict[str, Any]:
    """What a list says of a row beside its verdict: duplicates, other columns as `values`."""
    dup = row.pop(DUP, None)
    said = {"values": found} if (found := values(row, row)) else {}
    if dup is None:
        return said
    if dup["reason"] is None:
        return said | ({"cluster_size": dup["size"]} if dup["size"] > 1 else {})
    kept = {"doc_id": plain(dup["cluster"]), "url": url_of(root, made, dup["cluster"])}
    return said | {
        "duplicate_of": kept,
        "similarity": round(dup["jaccard"], 6),
        "duplicate": dup["reason"],
        "cluster_size": dup["size"],
    }


def url_of(root: str, made: Made, doc_id: bytes) -> str | None:
    """The URL of a document that a step lists as kept."""
    paths = [
        entry.path
        for entry in made.manifest.data_files()
        if entry.shard >= 0 and not entry.path.startswith(f"{SHARDS}/")
    ]

    def look(path: str) -> list[str]:
        rows = parquet.read(root, path, ["doc_id", "url"])
        return list(rows.filter(pc.equal(rows["doc_id"], doc_id))["url"].to_pylist())

    return next((url for urls in at_once(look, paths) for url in urls), None)


def own_columns(made: Made, before: Made) -> list[str]:
    """The columns that a step added."""
    return [name for name in made.columns if name not in before.columns and name != TEXT]


def values(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """These columns of a row as plain data, those that it has."""
    return {name: plain(row[name]) for name in names if name in row}


def plain(value: Any) -> Any:
    """A value of a column as JSON has it: bytes in hexadecimal, times in ISO 8601."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else value


def at_once(read: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What `read` gives for each item, READERS of them at a time."""
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(read, items))
