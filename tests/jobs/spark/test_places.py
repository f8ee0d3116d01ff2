"""Places: each is worked on once, by few tasks, and answers come in their order."""

import gc
import os
from collections.abc import Iterator

import pyarrow as pa
import pytest

from jobs.spark.parts import attempt_name, write_partitions
from jobs.spark.places import answers_at, rows_at, tasks_for
from jobs.spark.session import Session


@pytest.mark.parametrize("tasks", [None, 1, 5])
def test_answers_come_in_the_order_of_places_whatever_the_tasks(
    session: Session, tasks: int | None
) -> None:
    found = answers_at(session, 5, lambda place: {"square": place**2, "text": "é"}, tasks)
    assert found == [{"square": n**2, "text": "é"} for n in range(5)]


def test_of_no_place_nothing_is_asked(session: Session) -> None:
    assert answers_at(session, 0, lambda place: 1 // 0) == []
    assert rows_at(session, 0, lambda place: iter(()), "n long").count() == 0


def test_a_place_yields_any_number_of_rows(session: Session) -> None:
    def work(place: int) -> Iterator[pa.RecordBatch]:
        for n in range(place):
            yield pa.RecordBatch.from_pydict({"n": pa.array([10 * place + n], pa.int64())})

    rows = rows_at(session, 4, work, "n long").collect()
    assert sorted(row["n"] for row in rows) == [10, 20, 21, 30, 31, 32]


def test_many_places_share_a_task_and_few_have_one_each(session: Session) -> None:
    assert session.cores == 2
    assert [tasks_for(session, count) for count in (0, 1, 5, 8, 100, 1000)] == [1, 1, 5, 8, 8, 63]
    parts = rows_at(session, 100, lambda place: iter(()), "n long").rdd.getNumPartitions()
    assert parts == 8


def test_what_a_worker_imported_is_out_of_the_garbage_collectors_way(session: Session) -> None:
    frozen = answers_at(session, 4, lambda place: [os.getpid(), gc.get_freeze_count()])
    assert all(count > 50_000 for _, count in frozen)
    assert os.getpid() not in {pid for pid, _ in frozen}


def test_partitions_are_written_once_and_told_in_order(session: Session) -> None:
    frame = session.spark.range(10)
    ranged = frame.selectExpr("cast(id % 3 AS int) AS place", "id").repartitionById(3, "place")

    def write(number: int, batches: Iterator[pa.RecordBatch]) -> Iterator[list[int]]:
        ids = [n for batch in batches for n in batch.column("id").to_pylist()]
        yield [number, *sorted(ids)]

    assert write_partitions(ranged, write) == [[0, 0, 3, 6, 9], [1, 1, 4, 7], [2, 2, 5, 8]]


def test_no_two_attempts_have_a_name() -> None:
    names = {attempt_name("part-00001") for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("part-00001-") and name.endswith(".parquet") for name in names)
