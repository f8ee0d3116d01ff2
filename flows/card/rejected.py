"""Rejected rows to look at: the first of each reason, in the order of the shards.

That order follows from the crawl files' names and contents, so the same artifact shows the same
rows every time.
"""

from collections.abc import Iterator
from typing import Any

from infra.lake import Artifact, parquet
from infra.lake.rows import REASON, ROW, read_rows, stacks_of
from infra.manifest import SHARDS, Manifest

EXCERPT_CHARACTERS = 160
SHOWN = ("url", "text")


def rejected_samples(
    artifact: Artifact, manifest: Manifest, wanted: int
) -> dict[str, list[dict[str, str]]]:
    """Reason -> the first `wanted` rows that it rejected, each as `url` and an excerpt of `text`.

    Nothing is read after the last row that is wanted.
    """
    missing = {reason: min(wanted, rows) for reason, rows in manifest.counts.rejected.items()}
    chosen: dict[str, list[dict[str, str]]] = {}
    for row in rejected_rows(artifact, manifest):
        if not any(missing.values()):
            break
        if missing.get(row[REASON]):
            missing[row[REASON]] -= 1
            text = row["text"]() if callable(row["text"]) else row["text"]
            shown = {"url": row["url"] or "", "text": excerpt(text or "")}
            chosen.setdefault(row[REASON], []).append(shown)
    return chosen


def rejected_rows(artifact: Artifact, manifest: Manifest) -> Iterator[dict[str, Any]]:
    """The rows that the artifact's own step rejected: `reject_reason`, `url`, `text` (a function
    where it must be looked up)."""
    root = artifact.lake_root
    stacks = {stack.shard: stack for stack in stacks_of(manifest)}
    files = [entry for entry in manifest.files if entry.is_rejected]
    for entry in files:
        columns = ["shard", ROW, REASON, *SHOWN]
        for row in parquet.read(root, entry.path, columns).to_pylist():
            found = {"url": None, "text": None, **row}
            if row.get("shard") in stacks and ROW in row:
                stack, number = stacks[row["shard"]], row[ROW]
                found["text"] = lambda s=stack, n=number: text_of(root, s, n)
            yield found
    own = [e for e in manifest.files if not e.path.startswith(f"{SHARDS}/")]
    for stack in () if files or own else stacks.values():
        for batch in read_rows(root, stack, SHOWN, judged=True):
            if REASON in batch.schema.names:
                yield from (row for row in batch.to_pylist() if row[REASON] is not None)


def text_of(root: str, stack: Any, number: int) -> str:
    """The text of a row of a shard."""
    for batch in read_rows(root, stack, ["text"], keyed=False):
        rows = batch.column(ROW).to_pylist()
        if number in rows:
            return str(batch.column("text")[rows.index(number)].as_py())
    return ""


def excerpt(text: str) -> str:
    """The beginning of a text on one line."""
    return " ".join(text[: 4 * EXCERPT_CHARACTERS].split())[:EXCERPT_CHARACTERS]
