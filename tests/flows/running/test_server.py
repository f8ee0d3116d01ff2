"""The server of one run: closed to everybody but the run."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from flows.running.server import RunServer
from infra.settings import settings
from tests.flows.running.servers import FOREIGN, allows, asked


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address of the API and its password, within a run."""
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
            patch.delenv(name, raising=False)
        patch.setenv("PREFECT_HOME", str(home / "prefect"))
        patch.setenv("GRISTMILL_LOGS", str(home / "logs"))
        settings.cache_clear()
        fresh = temporary_settings(restore_defaults={PREFECT_API_URL, PREFECT_API_AUTH_STRING})
        with fresh, RunServer() as server:
            server.ready()
            password = PREFECT_API_AUTH_STRING.value()
            said = password.get_secret_value() if isinstance(password, SecretStr) else password
            yield str(PREFECT_API_URL.value()), str(said)
    settings.cache_clear()


def test_the_run_itself_is_answered(running: tuple[str, str]) -> None:
    with get_client(sync_client=True) as client:
        assert client.read_flows() == []


def test_whoever_has_not_the_password_is_answered_401(running: tuple[str, str]) -> None:
    url, password = running
    version = f"{url}/admin/version"
    assert asked(version)[0] == 401
    assert asked(version, "gristmill:guess")[0] == 401
    assert asked(version, password)[0] == 200


def test_a_page_of_another_origin_may_not_read_an_answer(running: tuple[str, str]) -> None:
    url, password = running
    version = f"{url}/admin/version"
    assert allows(asked(version, password, Origin=FOREIGN)[1]) is None
    assert allows(asked(version, Origin=FOREIGN)[1]) is None
    own = url.removesuffix("/api")
    assert allows(asked(version, password, Origin=own)[1]) == own


def test_a_name_that_points_here_is_no_way_in(running: tuple[str, str]) -> None:
    url, password = running
    assert asked(f"{url}/admin/version", password, Host="pages.example")[0] == 400


def test_the_password_is_on_no_command_line_and_in_no_file(
    running: tuple[str, str], tmp_path: Path
) -> None:
    _, password = running
    secret = password.partition(":")[2]
    lines = []
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            lines.append(" ".join(each.cmdline()))
    assert any("flows.running.server" in line for line in lines)
    assert not any(secret in line for line in lines)
    for folder in (os.environ["PREFECT_HOME"], os.environ["GRISTMILL_LOGS"]):
        found = subprocess.run(["grep", "-rlaF", secret, folder], capture_output=True, text=True)
        assert found.stdout == ""


def test_what_it_writes_only_its_user_can_read(running: tuple[str, str]) -> None:
    for folder in (os.environ["PREFECT_HOME"], os.environ["GRISTMILL_LOGS"]):
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        assert files
        assert [path for path in files if path.stat().st_mode & 0o077] == []


def server_processes() -> list[psutil.Process]:
    """The servers that this process has started and that live."""
    found = []
    for each in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "flows.running.server" in each.cmdline():
                found.append(each)
    return found


@pytest.mark.parametrize("time", ["once", "twice"])
def test_where_it_is_killed_another_one_takes_over_and_no_call_fails(
    running: tuple[str, str], time: str
) -> None:
    with get_client(sync_client=True) as client:
        made = client.create_flow_from_name(f"made before it was killed {time}")
        (before,) = server_processes()
        before.kill()
        assert client.read_flow(made).id == made
    (after,) = server_processes()
    assert after.pid != before.pid
