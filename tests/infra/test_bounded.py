"""A function in a child that may be lost: budgets hold, and one call's end harms no other."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra.bounded import Bounded, Budget, Crashed, OverMemory, OverTime
from infra.errors import GristmillError, TransientError

MODULE = """
import os, signal
from infra.bounded import OverTime, serve

def answer(parts):
    what = parts[0].decode()
    if what == "pid":
        return [str(os.getpid()).encode()]
    if what == "spin":
        while True:
            pass
    if what == "grow":
        return [bytes([len(bytearray(b"x" * (300 << 20))) & 1])]
    if what == "refuse":
        raise OverTime("7 things")
    if what == "raise":
        raise ValueError("no such page")
    if what.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[what])
    return parts

serve(answer)
"""
Ask = Callable[..., list[bytes]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """A child with half a second and 128 MiB a call."""
    (tmp_path / "answering.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    child = Bounded("answering", Budget(0.5, 128 << 20))
    yield child.ask
    child.close()


def test_parts_come_back_as_they_are(ask: Ask) -> None:
    for parts in ([b"x"], [b"", b"\0" * 3_000_000, b"\xff"]):
        assert ask(*parts) == parts


def test_one_child_answers_call_after_call(ask: Ask) -> None:
    assert ask(b"pid") == ask(b"pid")


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (b"spin", OverTime, "more than 0.5 s of processor time"),
        (b"grow", OverMemory, "more than 128 MiB of memory"),
        (b"SIGSEGV", Crashed, "SIGSEGV"),
        (b"SIGABRT", Crashed, "SIGABRT"),
    ],
)
@pytest.mark.parametrize("calls_before", [0, 1])
def test_a_call_that_ends_its_child_is_an_error_and_the_next_is_answered(
    ask: Ask, call: bytes, error: type[Exception], said: str, calls_before: int
) -> None:
    for _ in range(calls_before):
        ask(b"x")
    with pytest.raises(error, match=said):
        ask(call)
    assert ask(b"next") == [b"next"]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [(b"refuse", OverTime, "7 things"), (b"raise", Crashed, "ValueError: no such page")],
)
def test_an_error_of_the_function_costs_no_child(
    ask: Ask, call: bytes, error: type[Exception], said: str
) -> None:
    before = ask(b"pid")
    with pytest.raises(error, match=said):
        ask(call)
    assert ask(b"pid") == before


def test_a_child_that_others_kill_says_nothing_about_the_call(ask: Ask) -> None:
    first = int(ask(b"pid")[0])
    os.kill(first, signal.SIGKILL)
    second = int(ask(b"pid")[0])
    assert second != first
    with pytest.raises(TransientError, match="SIGKILL"):
        ask(b"SIGKILL")


def test_a_closed_child_is_gone_and_another_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "answering.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    child = Bounded("answering", Budget(0.5, 128 << 20))
    first = int(child.ask(b"pid")[0])
    child.close()
    assert not psutil.pid_exists(first)
    assert int(child.ask(b"pid")[0]) != first
    child.close()


def test_a_module_that_cannot_start_is_one_line() -> None:
    child = Bounded("no_such_module", Budget(1, 1 << 27))
    with pytest.raises(GristmillError, match="no_such_module ended with code 1"):
        child.ask(b"x")
