"""What the command shows of a step at work: a bar on a terminal, lines elsewhere, or nothing."""

import io
import threading
from typing import Any

import pytest
from rich.console import Console

from flows.command import bars
from flows.running import pace

EVENTS: tuple[dict[str, Any], ...] = (
    {"event": "started", "step": "dedup"},
    {"event": "progress", "step": "dedup", "done": 0, "total": 0, "part": "pairs of [a] buckets"},
    {"event": "progress", "step": "dedup", "done": 3, "total": 8, "unit": "tasks"},
)


def test_a_terminal_shows_a_bar_with_its_numbers() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=100)
    with bars.follower(False, console) as follow:
        for event in EVENTS:
            follow(event)
    assert "3 of 8 tasks" in written.getvalue()
    assert written.getvalue().endswith("\x1b[2K"), "the bar goes when the step is done"


def test_elsewhere_lines_stand_beside_those_of_finished_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = threading.Event()
    write = bars.said

    def said(line: str) -> None:
        write(line)
        first.set()

    monkeypatch.setattr(pace, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(bars, "said", said)
    console = Console(file=io.StringIO())
    with bars.follower(False, console) as follow:
        for event in EVENTS[:2]:
            follow(event)
        assert first.wait(30)
    shown = capsys.readouterr()
    assert shown.out.startswith("dedup")
    assert shown.err == ""


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    with bars.follower(True, console) as follow:
        for event in EVENTS:
            follow(event)
    assert capsys.readouterr() == ("", "")
