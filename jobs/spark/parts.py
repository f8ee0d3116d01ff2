"""Rows of a DataFrame as files of an artifact, written by the workers that hold them, and results to find again after a crash.

A partition becomes one Parquet file under a name of its attempt; the files that a finished job answered with are the result, what
other attempts left is never read. A checkpoint is such files below the artifact's `_work/` and a list of them, written last.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema

from infra import storage
from infra.lake import Writer
from infra.lake.parquet import RowsFile
from infra.manifest import FileEntry
from jobs.spark.session import Session

BATCH_ROWS = 1000
Part = tuple[int, Iterator[pa.RecordBatch]]


def write_partitions(
    frame: DataFrame, write: Callable[[int, Iterator[pa.RecordBatch]], Iterator[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Have each partition written by `write(partition, batches)`; what it answers, JSON-ready, in the order of the partitions.

    `write` runs in a worker, maybe twice for a partition: its files must have names of their own attempt.
    """

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        number = context.partitionId() if context else 0
        said = [json.dumps(answer) for answer in write(number, batches)]
        yield pa.RecordBatch.from_pydict({"part": [number] * len(said), "said": said})

    rows = frame.mapInArrow(work, "part int, said string").collect()
    ordered = sorted(rows, key=lambda row: row["part"])
    return [json.loads(row["said"]) for row in ordered]


def attempt_name(stem: str) -> str:
    """`<stem>-<attempt>.parquet`."""
    return f"{stem}-{uuid.uuid4().hex[:8]}.parquet"


def checkpoint(session: Session, writer: Writer, name: str, frame: DataFrame) -> DataFrame:
    """`frame` written once below the artifact's `_work/` and read back; a complete one from before a crash is used again."""
    listing = writer.work(name, "parts.json")
    root, folder = session.root, f"{writer.artifact.path}/_work/{name}"
    if not storage.exists(listing):
        schema = to_arrow_schema(frame.schema)

        def write(number: int, batches: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
            path = f"{folder}/{attempt_name(f'part-{number:05d}')}"
            with RowsFile(root, path, schema) as file:
                for batch in batches:
                    file.write(batch)
            if file.rows:
                yield {"path": path, "rows": file.rows}

        storage.write_bytes(listing, json.dumps(write_partitions(frame, write)).encode())
    parts = json.loads(storage.read_bytes(listing))
    return read_parts(session, [part["path"] for part in parts], frame)


def read_parts(session: Session, paths: list[str], like: DataFrame) -> DataFrame:
    """The rows of files below the lake's root, with the columns of `like`."""
    root, names = session.root, like.columns

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for place in batch.column("id").to_pylist():
                with storage.open_read(storage.join(root, paths[place])) as stream:
                    file = pq.ParquetFile(stream)
                    for rows in file.iter_batches(BATCH_ROWS, columns=names):
                        yield rows.select(names)

    return session.spark.range(0, len(paths), 1, max(1, len(paths))).mapInArrow(work, like.schema)


def entry_of(said: dict[str, Any]) -> FileEntry:
    """The file of an artifact that a worker told of."""
    return FileEntry(**said)
