"""What deduplication leaves: the list of kept rows, and the removed ones, each with its `dup`.

In: labels of the rows that have a duplicate (shard, row, dup). Out: a pair of files for a range of
shards, `LISTED` and, in `_rejected/`, `REMOVED`, a row group a shard; a row without a label is a
cluster of its own.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from infra.lake.parquet import RowsFile
from infra.lake.rows import Stack, read_rows
from infra.manifest import REJECTED_ROWS
from jobs.spark.documents import numbered
from jobs.spark.maps import tally
from jobs.spark.parts import attempt_name, write_partitions
from jobs.spark.places import answers_at
from jobs.spark.session import Session

ROWS_PER_FILE = 50_000
DUP = pa.struct(
    [
        ("cluster", pa.binary()),
        ("size", pa.int32()),
        ("jaccard", pa.float32()),
        ("reason", pa.string()),
    ]
)
LISTED = pa.schema(
    [
        ("shard", pa.int32()),
        ("row", pa.int32()),
        ("row_id", pa.binary()),
        ("doc_id", pa.binary()),
        ("url", pa.string()),
        ("dup", DUP),
    ]
)
LABELS = pa.schema([("shard", pa.int32()), ("row", pa.int32()), ("dup", DUP)])
REMOVED = LISTED.append(pa.field("reject_reason", pa.string()))
COLUMNS = ("row_id", "doc_id", "url", "source", "n_bytes")


def write_listed(
    session: Session, folder: str, stacks: list[Stack], labels: DataFrame, rows: int, layer: int
) -> list[dict[str, Any]]:
    """Write the kept and the removed rows of each range of shards; counts, files and sources by
    range. How many ranges there are follows from the rows alone, not from the cores."""
    wanted = max(1, min(len(stacks), -(-rows // ROWS_PER_FILE)))
    width = max(1, -(-len(stacks) // wanted))
    files = max(1, -(-len(stacks) // width))
    root = session.root

    def write(number: int, batches: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
        found = list(batches)
        known = pa.Table.from_batches(found) if found else LABELS.empty_table()
        mine = stacks[number * width : (number + 1) * width]
        yield write_range(root, folder, number, mine, known, layer)

    placed = labels.withColumn("place", F.floor(F.col("shard") / width).cast("int"))
    ranges = placed.repartitionById(files, "place").select("shard", "row", "dup")
    written = write_partitions(ranges, write)
    # Spark plans partitions away where no row at all is left: a corpus without a duplicate.
    missing = sorted(set(range(files)).difference(said["range"] for said in written))
    none = LABELS.empty_table()

    def write_without(place: int) -> dict[str, Any]:
        number = missing[place]
        mine = stacks[number * width : (number + 1) * width]
        return write_range(root, folder, number, mine, none, layer)

    return [*written, *answers_at(session, len(missing), write_without)]


def write_range(
    root: str, folder: str, number: int, stacks: list[Stack], labels: pa.Table, layer: int
) -> dict[str, Any]:
    """Write the rows of these shards, a row group a shard. Runs in a worker."""
    name = attempt_name(f"part-{number:05d}")
    sources: dict[str, list[int]] = {}
    counts = tally([], [])
    kept_file = RowsFile(root, f"{folder}/{name}", LISTED, grouped=True)
    removed_file = RowsFile(root, f"{folder}/{REJECTED_ROWS}/{name}", REMOVED, grouped=True)
    with kept_file as kept, removed_file as removed:
        for stack in stacks:
            known = labels.filter(pc.equal(labels["shard"], stack.shard)).to_pydict()
            dups = dict(zip(known["row"], known["dup"], strict=True))
            for batch in read_rows(root, stack, COLUMNS):
                rows = with_dup(numbered(batch, stack.shard), dups)
                reason = rows.column("reject_reason")
                kept.write(rows.filter(reason.is_null()))
                removed.write(rows.filter(reason.is_valid()))
                counts += tally([rows.column("n_bytes")], [reason])
                count_sources(rows, sources)
            kept.end_group()
            removed.end_group()
    assert kept_file.entry is not None and removed_file.entry is not None
    entries = [
        dataclasses.replace(entry, shard=stacks[0].shard, layer=layer)
        for entry in (kept_file.entry, removed_file.entry)
    ]
    return {
        "range": number,
        "files": [dataclasses.asdict(entry) for entry in entries],
        "counts": dataclasses.asdict(counts),
        "sources": sources,
    }


def with_dup(rows: pa.RecordBatch, dups: dict[int, dict[str, Any]]) -> pa.RecordBatch:
    """The rows with `dup`, by row number where it is known, and `reject_reason`."""
    numbers, doc_ids = rows.column("row").to_pylist(), rows.column("doc_id").to_pylist()
    made = [dups.get(n) or unique_dup(d) for n, d in zip(numbers, doc_ids, strict=True)]
    reasons = [dup["reason"] and f"{dup['reason']}_duplicate" for dup in made]
    return rows.append_column("dup", pa.array(made, DUP)).append_column(
        "reject_reason", pa.array(reasons, pa.string())
    )


def count_sources(rows: pa.RecordBatch, sources: dict[str, list[int]]) -> None:
    """Add the rows to source -> [documents, removed, largest cluster]."""
    for source, dup in zip(
        rows.column("source").to_pylist(), rows.column("dup").to_pylist(), strict=True
    ):
        seen = sources.setdefault(source or "", [0, 0, 0])
        seen[0] += 1
        seen[1] += dup["reason"] is not None
        seen[2] = max(seen[2], dup["size"])


def unique_dup(doc_id: bytes) -> dict[str, Any]:
    """The dup of a document without a duplicate."""
    return {"cluster": doc_id, "size": 1, "jaccard": None, "reason": None}
