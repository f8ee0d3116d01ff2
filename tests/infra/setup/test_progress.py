"""Preparing the machine is never silent: what is said while a command works, and when it fails."""

import re
import subprocess
from pathlib import Path

SETUP = Path(__file__).parents[3] / "infra" / "setup"
PIP = """
echo 'Collecting aiohttp==3.14.3 (from -r requirements.lock (line 3))'
echo '  Downloading aiohttp-3.14.3-cp311-cp311-manylinux2014_x86_64.whl (1.8 MB)'
echo 'Collecting click==8.3.2 (from -r requirements.lock (line 9))'
echo '  Downloading click-8.3.2-py3-none-any.whl (500 kB)'
echo '  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (1.1 GB)'
"""


def watched(command: str, status: str = "pip_status") -> subprocess.CompletedProcess[str]:
    """What is said of a shell command, ten times a second."""
    script = f". {SETUP}/progress.sh; work() {{ {command}\n}}; watched packages {status} work"
    return subprocess.run(
        ["bash", "-euc", script],
        env={"TOLD_SECONDS": "0.1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_packages_and_megabytes_are_counted_while_pip_works() -> None:
    done = watched(f"{PIP} sleep 1; echo 'Installing collected packages: click'; sleep 1")
    assert done.returncode == 0
    assert "gristmill: packages: 2 packages found, 1102 MB fetched, " in done.stderr
    assert re.search(r"1102 MB fetched, unpacking: \d+ MB in .venv, \d s\n", done.stderr)
    assert re.search(r"gristmill: packages: done in \d+ s\n$", done.stderr)
    assert done.stdout == ""


def test_apt_is_counted_too() -> None:
    lines = "echo 'Get:1 http://deb.example trixie/main amd64 jre'; echo 'Setting up jre (17) ...'"
    done = watched(f"{lines}; sleep 1", "apt_status")
    assert "gristmill: packages: 1 files fetched, 1 packages set up, " in done.stderr


def test_a_failure_shows_the_end_of_the_log_and_the_commands_exit_code() -> None:
    done = watched("for i in $(seq 50); do echo line $i; done; return 7")
    assert done.returncode == 7
    assert "line 50\n" in done.stderr and "line 30\n" not in done.stderr
    assert "gristmill: packages: failed (exit code 7)" in done.stderr
