"""The README's commands and programs, word for word and in its order, on the lake of a small demo.

What cannot run here stands in NOT_RUN with its reason; anything else must end well.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.whole import DEADLINE_SECONDS, REPO

GRISTMILL = ".venv/bin/gristmill"
DEMO = ("demo", "--pages", "60", "--set", "train.steps=6", "--set", "evaluate.sample_tokens=8")
NOT_RUN = {
    "make ": "makes .venv first: the demo that made this lake is what `make demo` calls",
    f"{GRISTMILL} demo --pages 200": "the lake under test is that of a smaller one",
    f"{GRISTMILL} run --input s3://": "names a bucket of the reader's; tests/e2e/test_s3.py",
}
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    (\S.*)$", re.MULTILINE)
YAML_NAME = re.compile(r"^# (\S+\.yaml)$", re.MULTILINE)


def pieces() -> list[tuple[str, str]]:
    """(kind, text) of what the README gives to run, in its order: shell lines and fenced blocks."""
    text = (REPO / "README.md").read_text()
    found = [(m.start(), m[1], m[2]) for m in FENCED.finditer(text)]
    spans = [m.span() for m in FENCED.finditer(text)]
    for line in INDENTED.finditer(text):
        if not any(start <= line.start() < end for start, end in spans):
            found.append((line.start(), "shell", line[1]))
    return [(kind, piece) for _, kind, piece in sorted(found)]


def commands() -> list[str]:
    """The shell lines; folders with what is in them, below a heading, are none."""
    starts = (".venv/", "make ", "export ", "POSTGRES_", "docker ", "git ", "set ")
    return [piece for kind, piece in pieces() if kind == "shell" and piece.startswith(starts)]


def reason(command: str) -> str:
    """Why a command is not run; empty where it is."""
    return next((why for start, why in NOT_RUN.items() if command.startswith(start)), "")


def of_kind(kind: str) -> list[str]:
    return [piece for found, piece in pieces() if found == kind]


def called(folder: Path, command: list[str]) -> str:
    """What a program prints, called where the lake is; it must end well."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPO),
        "SPARK_MASTER": "local[2]",
        "PREFECT_HOME": str(folder / "prefect"),
        "GRISTMILL_LOGS": str(folder / "logs"),
        "GRISTMILL_STATE": str(folder / "up.json"),
        "GRISTMILL_SECRETS": str(folder / "servers.env"),
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def gristmill(folder: Path, *arguments: str) -> str:
    return called(folder, [sys.executable, "-m", "flows.command.cli", *arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the demo has made ./lake, and where the README's configuration lies."""
    made = tmp_path_factory.mktemp("readme")
    for block in of_kind("yaml"):
        for name in YAML_NAME.findall(block):
            (made / name).write_text(block)
    gristmill(made, *DEMO)
    yield made
    gristmill(made, "down")


@pytest.mark.parametrize("command", [c for c in commands() if not reason(c)])
def test_a_command_of_the_readme_runs_on_the_demos_lake(command: str, folder: Path) -> None:
    program, *arguments = shlex.split(command, comments=True)
    assert program == GRISTMILL, f"{command}: run it, or say in NOT_RUN why not"
    assert gristmill(folder, *arguments).strip()


@pytest.mark.parametrize("code", of_kind("python"), ids=lambda code: code.splitlines()[0])
def test_a_program_of_the_readme_runs_on_the_demos_lake(code: str, folder: Path) -> None:
    called(folder, [sys.executable, "-c", code])


@pytest.mark.parametrize("query", of_kind("sql"))
def test_a_query_of_the_readme_has_rows(query: str, folder: Path) -> None:
    program = f"import duckdb; print(len(duckdb.sql({query!r}).fetchall()))"
    assert int(called(folder, [sys.executable, "-c", program])) > 0


def test_what_is_not_run_is_in_the_readme() -> None:
    text = (REPO / "README.md").read_text()
    assert [start for start in NOT_RUN if start not in text] == []
    assert len([c for c in commands() if not reason(c)]) >= 10


def test_every_block_is_of_a_kind_that_is_run_or_drawn() -> None:
    assert {kind for kind, _ in pieces()} <= {"shell", "python", "sql", "yaml", "mermaid"}
