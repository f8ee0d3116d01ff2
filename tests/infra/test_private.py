"""What may hold a secret is readable by its user alone, whatever the umask."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.command.cli import unforeseen
from infra.private import private_file, private_folder
from infra.settings import settings


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """The umask that takes nothing away."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """Its permissions."""
    return path.stat().st_mode & 0o777


def test_a_file_and_its_folder_are_this_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    for said in (b"one ", b"two"):
        with private_file(path) as stream:
            stream.write(said)
    assert path.read_bytes() == b"one two"
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert mode(private_folder(tmp_path / "other")) == 0o700


def test_the_log_of_what_nobody_foresaw_is_this_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_LOGS", str(tmp_path / "logs"))
    settings.cache_clear()
    try:
        raise RuntimeError("no \udcff text \x1b[2J")
    except RuntimeError as error:
        said = unforeseen(error)
    finally:
        settings.cache_clear()
    (log,) = (tmp_path / "logs").iterdir()
    assert str(log) in said and "\x1b" not in said
    assert (mode(log), mode(log.parent)) == (0o600, 0o700)
