"""Rejected rows to look at: the first of each reason, in the order of the files.

That order is the order of the files' content, so the same artifact shows the same rows every time.
"""

from typing import Any

import pyarrow.parquet as pq

from infra import storage
from infra.lake import Artifact
from infra.manifest import Manifest

EXCERPT_CHARACTERS = 160
SHOWN = ("reject_reason", "url", "text")


def rejected_samples(
    artifact: Artifact, manifest: Manifest, wanted: int
) -> dict[str, list[dict[str, str]]]:
    """Reason -> the first `wanted` rows that it rejected, each as `url` and an excerpt of `text`.

    Text is read only from row groups that hold one of them, and no file after the last of them.
    """
    missing = {reason: min(wanted, rows) for reason, rows in manifest.counts.rejected.items()}
    chosen: dict[str, list[dict[str, str]]] = {}
    for uri in artifact.rejected_uris():
        if not any(missing.values()):
            break
        with storage.open_read(uri) as stream:
            file = pq.ParquetFile(stream)
            for group in range(file.num_row_groups):
                for row in picked(file, group, missing):
                    chosen.setdefault(row["reject_reason"], []).append(
                        {"url": row.get("url") or "", "text": excerpt(row.get("text") or "")}
                    )
    return chosen


def picked(file: pq.ParquetFile, group: int, missing: dict[str, int]) -> list[dict[str, Any]]:
    """Rows of a row group whose reason is still missing some; `missing` is counted down."""
    places = []
    reasons = file.read_row_group(group, ["reject_reason"])["reject_reason"].to_pylist()
    for place, reason in enumerate(reasons):
        if missing.get(reason):
            missing[reason] -= 1
            places.append(place)
    if not places:
        return []
    columns = [name for name in SHOWN if name in file.schema_arrow.names]
    rows: list[dict[str, Any]] = file.read_row_group(group, columns).take(places).to_pylist()
    return rows


def excerpt(text: str) -> str:
    """The beginning of a text on one line."""
    return " ".join(text[: 4 * EXCERPT_CHARACTERS].split())[:EXCERPT_CHARACTERS]
