"""Rows of a DataFrame as files of an artifact, written by the workers that hold them.

The files that a finished job answered with are the result; what another attempt of a task left has
another name and is never read.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame

Write = Callable[[int, Iterator[pa.RecordBatch]], Iterator[Any]]


def write_partitions(frame: DataFrame, write: Write) -> list[Any]:
    """Have each partition written by `write(partition, batches)`; what it answers, JSON-ready and
    small, in the order of the partitions.

    `write` runs in a worker, maybe twice for a partition: its files need an `attempt_name`.
    """

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        assert context is not None
        number = context.partitionId()
        for answer in write(number, batches):
            said = {"part": [number], "said": [json.dumps(answer)]}
            yield pa.RecordBatch.from_pydict(said)

    rows = frame.mapInArrow(work, "part long, said string").collect()
    return [json.loads(row["said"]) for row in sorted(rows, key=lambda row: row["part"])]


def attempt_name(stem: str) -> str:
    """`<stem>-<attempt>.parquet`."""
    return f"{stem}-{uuid.uuid4().hex[:8]}.parquet"
