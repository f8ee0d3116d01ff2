"""The user's secrets: random, made once, for the user alone."""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from infra import secrets
from infra.errors import UsageError
from infra.settings import settings

REPO = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's file, which is not there yet."""
    path = tmp_path / "config" / "servers.env"
    monkeypatch.setenv("GRISTMILL_SECRETS", str(path))
    settings.cache_clear()
    return path


def test_the_file_is_made_once_and_only_its_user_can_read_it(file: Path) -> None:
    old = os.umask(0)
    try:
        made = secrets.of_user()
    finally:
        os.umask(old)
    assert set(made) == set(secrets.NAMES)
    assert len(set(made.values())) == len(secrets.NAMES)
    assert all(len(value) > 40 for name, value in made.items() if name.endswith("PASSWORD"))
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert secrets.of_user() == made
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_of_many_that_make_it_at_once_all_get_the_same() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(secrets.of_user) for _ in range(8)]
    assert len({tuple(each.result().items()) for each in found}) == 1


def test_a_shell_can_source_it(file: Path) -> None:
    made = secrets.of_user()
    said = subprocess.run(
        ["sh", "-c", f'set -a; . "{file}"; env'], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {f"{name}={value}" for name, value in made.items()} <= set(said)


def test_a_file_that_others_may_read_is_refused(file: Path) -> None:
    secrets.of_user()
    file.chmod(0o640)
    with pytest.raises(UsageError, match=r"servers\.env: others may read it; chmod 600"):
        secrets.of_user()


def test_a_file_that_lacks_a_variable_names_it(file: Path) -> None:
    made = secrets.of_user()
    file.write_text(f"PREFECT_API_AUTH_STRING={made['PREFECT_API_AUTH_STRING']}\n")
    with pytest.raises(UsageError, match="has no MLFLOW_TRACKING_USERNAME; add it"):
        secrets.of_user()


def test_new_passwords_forget_the_users_of_the_old_ones(file: Path) -> None:
    secrets.of_user()
    file.unlink()
    users = file.with_name(secrets.MLFLOW_USERS)
    users.write_bytes(b"the old password's hash")
    secrets.of_user()
    assert not users.exists()


def test_each_run_has_a_password_of_its_own() -> None:
    assert secrets.of_one_run() != secrets.of_one_run()


def test_compose_gives_no_password_of_its_own_and_asks_for_none_beside_these() -> None:
    compose = (REPO / "docker-compose.yml").read_text()
    assert yaml.safe_load(compose)["services"].keys() == {"postgres", "prefect", "mlflow", "worker"}
    asked = set(re.findall(r"\$\{(\w+)", compose))
    assert asked == set(secrets.NAMES)
    assert "--env-file" in compose
