"""Rejected rows to look at: the first of each reason, in the order of the shards.

That order follows from the crawl files' names and contents, so the same artifact shows the same
rows every time.
"""

from infra.lake import Artifact, Lake
from infra.lake.rows import REASON
from infra.manifest import Manifest

EXCERPT_CHARACTERS = 160


def rejected_samples(
    artifact: Artifact, manifest: Manifest, wanted: int
) -> dict[str, list[dict[str, str]]]:
    """Reason -> the first `wanted` rows that it rejected, each as `url` and an excerpt of `text`.

    Nothing is read after the last row that is wanted, and no text of another row.
    """
    missing = {reason: min(wanted, rows) for reason, rows in manifest.counts.rejected.items()}

    def first(reasons: list[str]) -> list[bool]:
        chosen = []
        for reason in reasons:
            chosen.append(missing.get(reason, 0) > 0)
            missing[reason] = missing.get(reason, 0) - chosen[-1]
        return chosen

    found: dict[str, list[dict[str, str]]] = {}
    if any(missing.values()):
        lake = Lake(artifact.lake_root)
        for batch in lake.rejected(artifact, ["url", "text"], first):
            for row in batch.to_pylist():
                shown = {"url": row["url"] or "", "text": excerpt(row["text"] or "")}
                found.setdefault(row[REASON], []).append(shown)
            if not any(missing.values()):
                break
    return found


def excerpt(text: str) -> str:
    """The beginning of a text on one line."""
    return " ".join(text[: 4 * EXCERPT_CHARACTERS].split())[:EXCERPT_CHARACTERS]
