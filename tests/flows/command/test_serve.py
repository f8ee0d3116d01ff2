"""The commands that a run prints open both pages, to whoever has the password alone."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import secrets, tracking
from infra.settings import settings
from tests.flows.running.servers import DEADLINE_SECONDS, FOREIGN, allows, asked, wait_for

REPO = Path(__file__).parents[3]
ANSWERS = {
    "prefect": "/api/admin/version",
    "mlflow": "/api/2.0/mlflow/experiments/search?max_results=1",
}
PAGES = {"prefect": "/runs", "mlflow": "/"}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The user's secrets, in a file of these tests."""
    folder = tmp_path_factory.mktemp("serve")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRISTMILL_SECRETS", str(folder / "config" / "servers.env"))
        patch.setenv("PREFECT_HOME", str(folder / "prefect"))
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
            patch.delenv(name, raising=False)
        settings.cache_clear()
        yield secrets.of_user()
    settings.cache_clear()


@pytest.fixture(scope="module", params=["prefect", "mlflow"])
def served(
    request: pytest.FixtureRequest, known: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, str]]:
    """Which server, its address, and its login; started by the command that a run prints."""
    lake = str(tmp_path_factory.mktemp("served") / "the lake")
    printed = {"prefect": "gristmill serve prefect", "mlflow": tracking.ui_command(lake)}
    program, *arguments = shlex.split(printed[request.param])
    assert program == "gristmill"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "flows.command.cli", *arguments, "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    url = f"http://127.0.0.1:{port}"
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said.startswith(f"{url}   log in ") and str(secrets.where()) in said
    assert not any(len(value) > 20 and value in said for value in known.values())
    try:
        wait_for(url)
        login = {
            "prefect": known["PREFECT_API_AUTH_STRING"],
            "mlflow": f"gristmill:{known['MLFLOW_TRACKING_PASSWORD']}",
        }
        yield request.param, url, login[request.param]
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert not any(len(value) > 20 and value in rest for value in known.values())


def test_the_page_opens_with_the_password_and_answers_401_without(
    served: tuple[str, str, str],
) -> None:
    which, url, login = served
    assert asked(url + ANSWERS[which])[0] == 401
    assert asked(url + ANSWERS[which], "gristmill:guess")[0] == 401
    assert asked(url + ANSWERS[which], login)[0] == 200
    assert asked(url + PAGES[which], login, Accept="text/html")[0] == 200


def test_a_page_of_another_origin_may_not_read_an_answer(served: tuple[str, str, str]) -> None:
    which, url, login = served
    assert allows(asked(url + ANSWERS[which], login, Origin=FOREIGN)[1]) is None
    assert allows(asked(url + ANSWERS[which], Origin=FOREIGN)[1]) is None


def test_a_foreign_name_for_this_machine_does_not_get_in(served: tuple[str, str, str]) -> None:
    """A page whose name is made to point here has no password: browsers keep them by name."""
    which, url, login = served
    assert asked(url + ANSWERS[which], Host="pages.example")[0] in (401, 403)
    if which == "mlflow":
        assert asked(url + ANSWERS[which], login, Host="pages.example")[0] == 403


def test_what_the_servers_write_only_their_user_can_read(
    served: tuple[str, str, str], known: dict[str, str]
) -> None:
    folders = (secrets.where().parent, Path(os.environ["PREFECT_HOME"]))
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if path.stat().st_mode & 0o077] == []
