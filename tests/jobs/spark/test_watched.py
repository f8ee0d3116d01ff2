"""What a Spark step tells while it works: its parts in order, each from nothing done to all."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from infra.lake import Artifact, Lake
from infra.step import DOCUMENTS, Task
from jobs import dedup
from jobs.dedup import DedupParameters
from jobs.spark.session import Session
from jobs.spark.watched import Part, watched

WORDS = "the mill grinds the grist while the miller rests beside the weir and waits for rain"


def told(printed: str) -> list[dict[str, Any]]:
    """The progress events on standard output."""
    events = (json.loads(line) for line in printed.splitlines() if line.startswith("{"))
    return [event for event in events if event["event"] == "progress"]


def test_deduplication_tells_each_of_its_parts_with_what_it_works_on(
    session: Session,
    lake: Lake,
    documents_artifact: Callable[..., Artifact],
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [{"text": f"{WORDS} {WORDS} {end}"} for end in ("", "again", "for ever")]
    documents = documents_artifact(lake, rows)
    task = Task(dedup.STEP, lake, "default", DedupParameters(), {DOCUMENTS: documents})
    capsys.readouterr()
    manifest = dedup.run(session, task)
    events = told(capsys.readouterr().out)
    parts = list(dict.fromkeys((event["number"], event["part"]) for event in events))
    pairs, buckets = manifest.details["candidate_pairs"], manifest.details["buckets"]
    assert parts == [
        (1, "signatures"),
        (2, "equal texts and bands"),
        (3, f"pairs of {buckets} buckets"),
        (4, f"exact similarity of {pairs} pairs"),
        (5, f"clusters of {manifest.details['near_pairs']} pairs"),
        (6, "list of 3 rows"),
    ]
    assert {event["of"] for event in events} == {6}
    for number in range(1, 7):
        mine = [event for event in events if event["number"] == number]
        assert mine[0]["done"] == 0
        assert mine[-1]["done"] == mine[-1]["total"] > 0


def test_tasks_are_counted_of_the_jobs_of_the_block_alone(
    session: Session, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.spark.watched.PROGRESS_SECONDS", 0.05)
    context = session.spark.sparkContext

    def slow(number: int) -> int:
        threading.Event().wait(0.2)
        return number

    context.parallelize(range(8), 8).count()
    with watched(session, "toy", Part("sleep", 1, 1)):
        context.parallelize(range(6), 6).map(slow).count()
    counted = [event for event in told(capsys.readouterr().out) if event["total"]]
    assert {event["total"] for event in counted} == {6}
    assert [event["done"] for event in counted] == sorted(event["done"] for event in counted)
    assert context.getLocalProperty("spark.jobGroup.id") is None
