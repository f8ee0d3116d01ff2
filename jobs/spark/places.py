"""Places 0..n-1 spread over tasks: the only way in which files meet Spark. A worker reads what lies
at its place and yields rows, or answers with something small."""

import functools
import gc
import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from jobs.spark.session import Session

TASKS_PER_CORE = 4
PLACES_PER_TASK = 16


def rows_at(
    session: Session,
    count: int,
    work: Callable[[int], Iterator[pa.RecordBatch]],
    schema: str | StructType,
    tasks: int | None = None,
) -> DataFrame:
    """The rows that `work(place)` yields in the workers, with this schema; lazily.

    tasks  over how many tasks the places are spread, neighbours together; without it `tasks_for`:
           enough to balance the cores, as a task costs some 30 ms however little it does
    """

    def at_places(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        settle()
        for batch in batches:
            for place in batch.column("id").to_pylist():
                yield from work(place)

    tasks = tasks_for(session, count) if tasks is None else max(1, tasks)
    return session.spark.range(0, count, 1, tasks).mapInArrow(at_places, schema)


def answers_at(
    session: Session, count: int, work: Callable[[int], Any], tasks: int | None = None
) -> list[Any]:
    """What `work(place)` answers in the workers, JSON-ready and small, in the order of places."""
    if not count:
        return []

    def said(place: int) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"place": [place], "said": [json.dumps(work(place))]})

    rows = rows_at(session, count, said, "place long, said string", tasks).collect()
    return [json.loads(row["said"]) for row in sorted(rows, key=lambda row: row["place"])]


def tasks_for(session: Session, count: int) -> int:
    """Over how many tasks so many places are spread."""
    wanted = max(TASKS_PER_CORE * session.cores, -(-count // PLACES_PER_TASK))
    return max(1, min(count, wanted))


@functools.cache
def settle() -> None:
    """Once in a worker's life: Spark collects garbage after each task, which looks through every
    imported module again unless these are set aside."""
    gc.collect()
    gc.freeze()
