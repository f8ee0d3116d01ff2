"""The command before it has begun."""

import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "flows.command.entry"]


def test_ctrl_c_while_it_is_imported_is_one_line(tmp_path: Path) -> None:
    interrupting = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    Path(tmp_path, "typer.py").write_text(interrupting)
    path = os.pathsep.join([str(tmp_path), str(REPO)])
    done = subprocess.run(
        [*COMMAND, "ls"], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_without_an_output_it_does_its_work() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "--version"],
        env={**os.environ, "PYTHONPATH": str(REPO)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
