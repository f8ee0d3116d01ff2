"""What a Spark step tells its owner while it works: which part of it goes on, how much of that is
done. One event `progress` at the beginning, one every PROGRESS_SECONDS while anything moves, one at
the end.

    with watched(session, "dedup", Part("exact similarity of 709 pairs", 3, 5)): ...

Where nobody knows a total beforehand, Spark's tasks are counted, of the jobs of this block alone;
Spark plans while it runs, so that their total may grow. No row passes through here.
"""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from py4j.protocol import Py4JError
from pyspark import SparkContext, SparkStageInfo

from infra.process import emit
from jobs.spark.session import Session

PROGRESS_SECONDS = 2.0
GROUP = "spark.jobGroup.id"


@dataclass(frozen=True)
class Part:
    """A part of a step: what it does, its number (the first is 1), how many there are."""

    name: str = ""
    number: int = 1
    of: int = 1


WHOLE = Part()


@contextmanager
def watched(
    session: Session, step: str, part: Part = WHOLE, total: int = 0, unit: str = "tasks"
) -> Iterator[None]:
    """Tell of the Spark jobs that this thread starts within the block.

    total  how many of `unit` there are, a Spark task each; 0: Spark's tasks are counted
    """
    context = session.spark.sparkContext
    group, ended = uuid.uuid4().hex, threading.Event()
    told: tuple[int, int] = (0, total)

    def tell(done: int, of: int) -> None:
        nonlocal told
        told = done, of
        fields = {"part": part.name, "number": part.number, "of": part.of, "unit": unit}
        emit("progress", step=step, done=done, total=of, **fields)

    def watch() -> None:
        while not ended.wait(PROGRESS_SECONDS):
            try:
                stages = stages_of(context, group)
            except (Py4JError, OSError):  # the JVM is lost: the step itself says so
                return
            known = [s for s in stages if s.numTasks == total] if total else stages
            now = sum(s.numCompletedTasks for s in known), total or sum(s.numTasks for s in known)
            if now != told and now[1]:
                tell(*now)

    tell(0, total)
    before = context.getLocalProperty(GROUP)
    context.setLocalProperty(GROUP, group)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        context.setLocalProperty(GROUP, before)  # type: ignore[arg-type]  # None takes it away
    tell(max(told[1], 1), max(told[1], 1))


def stages_of(context: SparkContext, group: str) -> list[SparkStageInfo]:
    """The stages of a group's jobs that have begun; those that Spark skipped never do."""
    tracker = context.statusTracker()
    jobs = (tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group))
    stages = {stage for job in jobs if job for stage in job.stageIds}
    found = (tracker.getStageInfo(stage) for stage in sorted(stages))
    return [s for s in found if s and (s.numActiveTasks or s.numCompletedTasks)]
