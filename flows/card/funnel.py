"""The funnel: how many rows and bytes each step took, kept and rejected, and why.

In: the steps in their order, each with the manifest of what it wrote. Out: a stage a step. The
card's page, the table of the flow `ingest`, the report's manifest and the command all show these
stages, so that they cannot differ. Pure functions; every number is one that a step counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.manifest import Manifest


@dataclass(frozen=True)
class Stage:
    """What one step did to the rows.

    rows_in   = rows_out + rejected
    reasons   (reason, rows), most frequent first, those that rejected nothing left out
    bytes_in  bytes that the step read: of its crawl files, or what the stage before left; None
              where nobody counted them
    bytes_read  bytes of the crawl files that their readers came through: less than bytes_in where
              the end of a file was not read; None for a step that reads no crawl files
    bytes     bytes that it left, by the funnel's measure
    joined    whether it began with as many rows as the stage before left
    """

    step: str
    rows_in: int
    rows_out: int
    rejected: int
    reasons: tuple[tuple[str, int], ...]
    bytes_in: int | None
    bytes_read: int | None
    bytes: int
    joined: bool


@dataclass(frozen=True)
class Funnel:
    """The stages, and what their bytes are.

    measure   `of text` where every step counted the bytes of its text, else `stored`
    """

    stages: tuple[Stage, ...]
    measure: str

    @property
    def seen(self) -> int:
        """Rows that entered."""
        return self.stages[0].rows_in if self.stages else 0

    @property
    def kept(self) -> int:
        """Rows that came out at the end."""
        return self.stages[-1].rows_out if self.stages else 0

    @property
    def rejected(self) -> int:
        """Rows that any stage rejected."""
        return sum(stage.rejected for stage in self.stages)

    @property
    def most_bytes(self) -> int:
        """The largest number of bytes anywhere, for bars on one scale."""
        return max((max(stage.bytes, stage.bytes_in or 0) for stage in self.stages), default=0)


def funnel(made: Sequence[tuple[str, Manifest]]) -> Funnel:
    """The funnel of steps by name with their manifests, in the order in which the rows pass."""
    texts = [text_bytes(manifest) for _, manifest in made]
    of_text = None not in texts
    stages: list[Stage] = []
    for (step, manifest), text in zip(made, texts):
        counts, before = manifest.counts, stages[-1] if stages else None
        reasons = [(reason, rows) for reason, rows in counts.rejected.items() if rows]
        stages.append(
            Stage(
                step=step,
                rows_in=counts.rows_in,
                rows_out=counts.rows_out,
                rejected=sum(rows for _, rows in reasons),
                reasons=tuple(sorted(reasons, key=lambda each: (-each[1], each[0]))),
                bytes_in=before.bytes if before else counted(manifest, "bytes_in"),
                bytes_read=counted(manifest, "bytes_read"),
                bytes=text if of_text and text is not None else stored_bytes(manifest),
                joined=before is None or before.rows_out == counts.rows_in,
            )
        )
    return Funnel(tuple(stages), "of text" if of_text else "stored")


def counted(manifest: Manifest, name: str) -> int | None:
    """A number that the step counted, None where it did not."""
    number: int | None = {**manifest.details, **manifest.counts.extra}.get(name)
    return number


def text_bytes(manifest: Manifest) -> int | None:
    """Bytes of UTF-8 text that the step left; of tokens, the text of all their splits."""
    splits = manifest.details.get("splits")
    if splits:
        return sum(int(split["bytes"]) for split in splits.values())
    return counted(manifest, "bytes_text")


def stored_bytes(manifest: Manifest) -> int:
    """Size of the result's files."""
    return sum(entry.size_bytes for entry in manifest.data_files())
