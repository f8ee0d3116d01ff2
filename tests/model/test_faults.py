"""What a user is told when a training's process dies, fails, or cannot write: one line, the cause,
what to do, where the log is."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra import storage
from infra.process import Child, failure_of
from infra.step import Task
from tests.model.artifacts import Tokens, write_tokens
from tests.model.training import start_training, train_task


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    """Tokens in a lake of their own."""
    return write_tokens(str(tmp_path / "lake"), size=1500)


def told(
    task: Task, folder: Path, act: Callable[[Child, dict[str, Any]], None] = lambda *_: None
) -> str:
    """The line for a training of two processes to whose events `act` does something."""
    with start_training(task, folder, 2) as child:
        child.close_input()
        for event in child.events():
            if event["event"] == "failed":
                return str(failure_of(event, child.log))
            act(child, event)
        return str(child.failure("train"))


def rank(child: Child, number: int) -> psutil.Process:
    """The process of a rank."""
    return next(p for p in child.tree() if p.environ().get("RANK") == str(number))


@pytest.mark.parametrize(
    ("sign", "remedy"),
    [(signal.SIGKILL, "when memory runs out"), (signal.SIGSEGV, "a native library crashed")],
)
def test_a_rank_that_a_signal_ends_is_named_with_the_signal_and_a_remedy(
    tokens: Tokens, tmp_path: Path, sign: signal.Signals, remedy: str
) -> None:
    done: list[int] = []

    def kill(child: Child, event: dict[str, Any]) -> None:
        if event["event"] == "metric" and not done:
            done.append(1)
            rank(child, 1).send_signal(sign)

    task = train_task(tokens, "killed", steps=100_000)
    said = told(task, tmp_path, kill)
    assert said.startswith(f"train: rank 1 was killed by {sign.name}; ")
    assert remedy in said
    assert said.endswith(f"(log: {tmp_path / 'killed.log'})")
    assert "\n" not in said


def test_what_a_rank_raises_is_the_line(tokens: Tokens, tmp_path: Path) -> None:
    (entry, *_) = tokens.tokens.require().data_files()
    uri = storage.join(tokens.lake.root, entry.path)
    data = storage.read_bytes(uri)
    start, end = len(data) // 8, len(data) * 7 // 8
    altered = bytes(each ^ 0x5A for each in data[start:end])
    storage.write_bytes(uri, data[:start] + altered + data[end:])
    said = told(train_task(tokens, "altered"), tmp_path)
    assert re.match(r"train \(rank [01]\): \w*(Error|ArrowInvalid): ", said), said
    assert "`gristmill verify --hashes`" in said
    assert "ChildFailedError" not in said
    assert said.endswith(f"(log: {tmp_path / 'altered.log'})")


def test_a_disk_that_fills_up_at_a_checkpoint_is_one_line_and_the_next_start_goes_on(
    tmp_path: Path, small_disk: Callable[[str, int], Path]
) -> None:
    disk = small_disk("disk", 48 << 20)
    tokens = write_tokens(str(disk / "lake"), size=1500)
    task = train_task(tokens, "full", steps=9)
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler.write_bytes(bytes(free - (1 << 20)))  # a checkpoint is larger
    said = told(task, tmp_path)
    assert "No space left on device" in said
    assert "; free space there" in said
    assert "CheckpointException" not in said
    assert "\n" not in said
    filler.unlink()
    with start_training(task, tmp_path, 2) as child:
        child.close_input()
        assert [event["event"] for event in child.events()][-1] == "result"
