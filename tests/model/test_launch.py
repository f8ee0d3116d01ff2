"""A training's processes can be reached from this machine alone, and leave nothing behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.model.artifacts import write_tokens
from tests.model.training import start_training, train_task

ROOT = Path(__file__).parents[2]


def test_a_training_listens_on_loopback_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    task = train_task(write_tokens(str(tmp_path / "lake"), size=1500), "listening", steps=100000)
    listening: set[str] = set()
    with start_training(task, tmp_path, 2) as child:
        child.close_input()
        for event in child.events():
            if event["event"] == "metric" and not listening:
                tree = child.tree()
                assert len(tree) == 3
                folders = list(temporary.glob("processes-*"))
                assert [path.stat().st_mode & 0o077 for path in folders] == [0]
                listening = {
                    connection.laddr.ip
                    for process in tree
                    for connection in process.net_connections("inet")
                    if connection.status == "LISTEN"
                }
                for process in tree:
                    process.terminate()
        child.wait()
    assert listening == {"127.0.0.1"}
    assert [*temporary.glob("processes-*"), *temporary.glob("torchelastic*")] == []


def test_a_command_without_a_module_is_told_the_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "model.launch", "2"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert done.stderr == "usage: python -m model.launch PROCESSES MODULE [ARGUMENT ...]\n"
