"""One task a place 0..n-1: the only way in which files meet Spark. A worker reads what lies at its
place and yields rows, or answers with something small."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from jobs.spark.session import Session


def rows_at(
    session: Session,
    count: int,
    work: Callable[[int], Iterator[pa.RecordBatch]],
    schema: str | StructType,
) -> DataFrame:
    """The rows that `work(place)` yields in the workers, with this schema; lazily."""

    def at_places(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for place in batch.column("id").to_pylist():
                yield from work(place)

    return session.spark.range(0, count, 1, max(1, count)).mapInArrow(at_places, schema)


def answers_at(session: Session, count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work(place)` answers in the workers, JSON-ready and small, in the order of places."""

    def said(place: int) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"place": [place], "said": [json.dumps(work(place))]})

    rows = rows_at(session, count, said, "place long, said string").collect()
    return [json.loads(row["said"]) for row in sorted(rows, key=lambda row: row["place"])]
