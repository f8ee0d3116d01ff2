"""How far a step is, in words: parts, rates, time left, and no long silence."""

import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from flows.running import pace as module
from flows.running.pace import Pace, Teller, crawl_files
from infra.crawl import sources_of


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def progress(done: int, total: int, **fields: Any) -> dict[str, Any]:
    return {"event": "progress", "step": "dedup", "done": done, "total": total, **fields}


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_rate_and_time_left_are_those_of_the_part_that_goes_on(clock: Clock) -> None:
    pace = Pace("dedup", clock)
    part = {"part": "pairs of 17 buckets", "number": 3, "of": 6, "unit": "tasks"}
    pace.take(progress(500, 500, part="signatures", number=1, of=6, unit="shards"))
    for done in (0, 30, 60):
        pace.take(progress(done, 240, **part))
        clock.now += 15
    assert pace.line() == ("dedup 3/6 pairs of 17 buckets: 60 of 240 tasks, 1.3/s, 2 min 15 s left")
    assert pace.share == pytest.approx((2 + 60 / 240) / 6)


def test_slow_work_is_told_in_seconds_each(clock: Clock) -> None:
    pace = Pace("train", clock)
    pace.take(progress(100, 110, unit="steps"))
    clock.now += 8
    pace.take(progress(102, 110, unit="steps"))
    assert pace.line() == "train: 102 of 110 steps, 4.0 s each, 32.0 s left"


def test_a_rate_is_that_of_the_last_minute(clock: Clock) -> None:
    pace = Pace("train", clock)
    for done in range(0, 1000, 10):  # ten a second, then one
        pace.take(progress(done, 2000))
        clock.now += 1
    for done in range(1000, 1120):
        pace.take(progress(done, 2000))
        clock.now += 1
    assert pace.rate == pytest.approx(1.0, abs=0.05)
    assert len(pace.seen) <= 62


def test_a_training_tells_its_loss_and_throughput(clock: Clock) -> None:
    pace = Pace("train", clock)
    pace.take(progress(1, 300, unit="steps"))
    pace.take(
        {"event": "metric", "step": 1, "train_loss": 8.3612, "tokens_per_second": 4321.9, "x": 1}
    )
    assert pace.line() == "train: 1 of 300 steps, at work for 0.0 s, loss 8.361, tokens/s 4,322"


def test_what_nobody_can_count_is_at_work_for_some_time(clock: Clock) -> None:
    pace = Pace(clock=clock)
    pace.take({"event": "started", "step": "tokenizer"})
    clock.now += 3
    assert pace.line() == "tokenizer: at work for 3.0 s"
    pace.take(progress(0, 0, part="merges of 58 texts", number=2, of=2))
    clock.now += 70
    assert pace.line() == "tokenizer 2/2 merges of 58 texts: at work for 1 min 13 s"
    pace.take({"event": "started", "step": "tokenize"})
    assert pace.line() == "tokenize: at work for 0.0 s"


def test_crawl_files_are_told_as_they_are_read(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.html").write_text(f"page {number}")
    pace = Pace()
    with crawl_files(pace.take):
        sources_of([str(tmp_path)], str(tmp_path / "lake"))
    assert pace.line().startswith("crawl files: 2 of 2 files, ")


def test_a_step_without_events_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(module, "TOLD_SECONDS", 0.01)
    lines: list[str] = []
    several = threading.Event()

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 3:
            several.set()

    with Teller(Pace("report"), say):
        assert several.wait(30)
    assert all(line.startswith("report: at work for ") for line in lines)
    told = len(lines)
    assert not any(thread.name == "teller" for thread in threading.enumerate())
    assert len(lines) == told


def test_what_is_said_is_said_in_the_context_of_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.01)
    place = ContextVar("place", default="nowhere")
    seen: list[str] = []
    said = threading.Event()

    def say(line: str) -> None:
        seen.append(place.get())
        said.set()

    place.set("the run's own server")
    with Teller(Pace("train"), say):
        assert said.wait(30)
    assert seen[0] == "the run's own server"


def test_nothing_is_said_before_a_step_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(module, "TOLD_SECONDS", 0.01)
    pace, lines = Pace(), []
    first = threading.Event()

    def say(line: str) -> None:
        lines.append(line)
        first.set()

    with Teller(pace, say):
        assert not first.wait(0.1)
        pace.take({"event": "started", "step": "export"})
        assert first.wait(30)
    assert lines[0].startswith("export: ")
