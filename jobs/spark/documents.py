"""Artifacts with rows of documents on Spark: a step adds a layer, nobody copies rows."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from infra import storage
from infra.lake.parquet import batches
from infra.lake.rows import REASON, ROW, Stack, read_rows, stacks_of
from infra.lake.shards import Shard, ShardMap
from infra.manifest import Counts, FileEntry, Manifest
from infra.step import DOCUMENTS, Task
from jobs.spark.maps import TEXT_BYTES, map_shards, tally
from jobs.spark.places import answers_at, rows_at
from jobs.spark.session import Session

BATCH_ROWS = 256


def commit_layers(
    session: Session, task: Task, maps: Sequence[ShardMap], details: dict[str, Any] | None = None
) -> Manifest:
    """A whole step that adds layers to its documents: have the shards made, count, commit.

    Rows in are those that the input kept, rows out those that the last map keeps; any map may drop
    rows.
    """
    counts, rejected = Counts(), Counts()
    with task.lake.begin(task.identity, task.name) as writer:
        documents = task.inputs[DOCUMENTS].require()
        files = documents.data_files()
        for number, shard_map in enumerate(maps, start=1):
            stacks = stacks_of(dataclasses.replace(documents, files=files))
            step, of = task.step.name, len(maps)
            made = map_shards(session, writer, step, shard_map, stacks, number, of)
            files = [*files, *layer_files(made, layers_in(files))]
            stacks = stacks_of(dataclasses.replace(documents, files=files))
            said = [shard.counts for shard in made]
            if any(stack.keyed for stack in stacks):
                said = count(session, stacks)
            counts = reduce(add, said, Counts())
            rejected += Counts(rejected=counts.rejected)
        rows_in = documents.counts.rows_out
        return writer.commit(
            dataclasses.replace(counts, rows_in=rows_in, rejected=rejected.rejected),
            files=files,
            schema=schema_of(task.lake.root, stacks),
            details=details,
            spark_application_id=session.application_id,
        )


def layer_files(made: Sequence[Shard], layer: int) -> list[FileEntry]:
    """The files of shards as a layer of an artifact, the i-th shard's for its shard i."""
    return [
        dataclasses.replace(entry, shard=number, layer=layer)
        for number, shard in enumerate(made)
        for entry in shard.files
    ]


def layers_in(files: Sequence[FileEntry]) -> int:
    """How many layers these files have."""
    return 1 + max((entry.layer for entry in files), default=-1)


def schema_of(root: str, stacks: Sequence[Stack]) -> list[dict[str, str]]:
    """The columns of an artifact's rows; a later layer's before an earlier one's of that name."""
    fields: dict[str, str] = {}
    for path in (*stacks[0].keyed, *stacks[0].layers) if stacks else ():
        with storage.open_read(storage.join(root, path)) as stream:
            fields |= {f.name: str(f.type) for f in pq.ParquetFile(stream).schema_arrow}
    for internal in (ROW, "shard", REASON):
        fields.pop(internal, None)
    return [{"name": name, "type": kind} for name, kind in fields.items()]


def count(session: Session, stacks: Sequence[Stack]) -> list[Counts]:
    """What each shard's last layer keeps and drops of the rows that all steps before it left."""
    root = session.root

    def work(place: int) -> dict[str, Any]:
        rows = list(read_rows(root, stacks[place], [TEXT_BYTES], judged=True))
        reasons = [r.column(REASON) for r in rows if REASON in r.schema.names]
        return dataclasses.asdict(tally([r.column(TEXT_BYTES) for r in rows], reasons))

    return [Counts(**said) for said in answers_at(session, len(stacks), work)]


def rows_of_shards(
    session: Session, made: Sequence[Shard], columns: Sequence[str], schema: str
) -> DataFrame:
    """Columns of the files of shards, with `shard`, the place in `made`, before them; `schema` in
    Spark's words, in that order."""
    root = session.root
    paths = [shard.data.path for shard in made]

    def work(place: int) -> Iterator[pa.RecordBatch]:
        for rows in batches(root, paths[place], columns, BATCH_ROWS):
            yield numbered(rows, place)

    return rows_at(session, len(paths), work, schema)


def numbered(rows: pa.RecordBatch, shard: int) -> pa.RecordBatch:
    """The rows with `shard` before them."""
    numbers = pa.array(np.full(rows.num_rows, shard, np.int32))
    names = ["shard", *rows.schema.names]
    return pa.RecordBatch.from_arrays([numbers, *rows.columns], names=names)
