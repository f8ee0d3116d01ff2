"""`gristmill up`: servers, deployments and a worker by one command; they work, come back when they
are killed, and leave nothing behind."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.serving.state import MARK
from tests.flows.running.servers import asked

REPO = Path(__file__).parents[3]
DEADLINE_SECONDS = 300
SECONDS_OF_A_MINUTE = 60.0


@dataclass
class Up:
    """What is up."""

    environment: dict[str, str]
    arguments: list[str]
    ports: dict[str, int]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`gristmill` with these arguments."""
        return subprocess.run(
            [sys.executable, "-m", "flows.command.entry", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )

    def services(self) -> dict[str, dict[str, Any]]:
        """What `status` says, by name."""
        said = json.loads(self.command("status", "--json").stdout)
        return {each["name"]: each for each in said["services"]}

    def secrets(self) -> dict[str, str]:
        """The passwords."""
        lines = Path(self.environment["GRISTMILL_SECRETS"]).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    def processes(self) -> list[psutil.Process]:
        """All that was started and lives."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.environment["GRISTMILL_STATE"]:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def waited(what: Callable[[], Any]) -> Any:
    """What it gives once that is true."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline
        psutil.wait_procs([psutil.Process()], timeout=0.5)
    return found


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """All services, on ports and in folders of these tests."""
    folder = tmp_path_factory.mktemp("up")
    dropped = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_URI")
    environment = {name: value for name, value in os.environ.items() if name not in dropped} | {
        "PYTHONPATH": str(REPO),
        "GRISTMILL_STATE": str(folder / "state" / "up.json"),
        "GRISTMILL_SECRETS": str(folder / "config" / "servers.env"),
        "GRISTMILL_LOGS": str(folder / "logs"),
        "PREFECT_HOME": str(folder / "prefect"),
        "SPARK_MASTER": "local[2]",
        "COLUMNS": "200",
    }
    ports = {"prefect": free_port(), "mlflow": free_port()}
    arguments = ["up", "--root", str(folder / "lake")]
    arguments += [f"--{name}-port={port}" for name, port in ports.items()]
    made = Up(environment, arguments, ports)
    begun = made.command(*arguments)
    try:
        assert begun.returncode == 0, begun.stdout + begun.stderr
        assert not any(len(each) > 20 and each in begun.stdout for each in made.secrets().values())
        yield made
    finally:
        ended = made.command("down")
    assert (ended.returncode, ended.stdout) == (0, "down\n"), ended.stderr
    assert made.processes() == []


@pytest.fixture
def client(up: Up) -> Iterator[SyncPrefectClient]:
    """Prefect's API as its user has it."""
    url = f"http://127.0.0.1:{up.ports['prefect']}/api"
    known = {PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: up.secrets()["PREFECT_API_AUTH_STRING"]}
    with temporary_settings(known), get_client(sync_client=True) as found:
        yield found


def set_up_again(up: Up) -> None:
    """The one-shot set-up, as compose and a second `up` call it."""
    login = up.secrets()["PREFECT_API_AUTH_STRING"]
    url = f"http://127.0.0.1:{up.ports['prefect']}/api"
    known = {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": login}
    command = [sys.executable, "-m", "flows.serving.deployments"]
    subprocess.run(command, env=up.environment | known, check=True, capture_output=True)


def test_all_is_ready_and_closed_to_whoever_has_no_password(up: Up) -> None:
    assert {name: each["stage"] for name, each in up.services().items()} == dict.fromkeys(
        ("prefect", "mlflow", "set-up", "worker"), "ready"
    )
    prefect, mlflow = (f"http://127.0.0.1:{up.ports[name]}" for name in ("prefect", "mlflow"))
    assert asked(f"{prefect}/api/admin/version")[0] == 401
    assert asked(f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=1")[0] == 401
    for file in ("GRISTMILL_STATE", "GRISTMILL_SECRETS"):
        assert Path(up.environment[file]).stat().st_mode & 0o077 == 0


def test_up_again_changes_nothing(up: Up) -> None:
    before = up.services()
    again = up.command(*up.arguments)
    assert again.returncode == 0, again.stderr
    assert up.services() == before


def test_what_was_set_on_the_page_stays_when_it_is_deployed_again(
    up: Up, client: SyncPrefectClient
) -> None:
    pipeline = client.read_deployment_by_name("pipeline/pipeline")
    assert [schedule.active for schedule in pipeline.schedules] == [False]
    (schedule,) = pipeline.schedules
    body = {"active": True, "schedule": {"cron": "7 3 * * 1", "timezone": "Europe/Berlin"}}
    path = f"/deployments/{pipeline.id}/schedules/{schedule.id}"
    client._client.patch(path, json=body).raise_for_status()
    parameters = {"parameters": pipeline.parameters["parameters"] | {"name": "mine"}}
    client._client.patch(
        f"/deployments/{pipeline.id}", json={"parameters": parameters}
    ).raise_for_status()
    set_up_again(up)
    kept = client.read_deployment_by_name("pipeline/pipeline")
    (schedule,) = kept.schedules
    assert isinstance(schedule.schedule, CronSchedule)
    assert (schedule.active, schedule.schedule.cron, schedule.schedule.timezone) == (
        True,
        "7 3 * * 1",
        "Europe/Berlin",
    )
    assert kept.parameters["parameters"]["name"] == "mine"


def test_a_schedule_that_is_switched_on_fires_and_the_worker_makes_its_run(
    up: Up, client: SyncPrefectClient, tmp_path: Path
) -> None:
    page = tmp_path / "pages" / "page.html"
    page.parent.mkdir()
    page.write_text("<p>Grain is ground between stones, and flour falls out below. " * 40)
    ingest = client.read_deployment_by_name("ingest/ingest")
    said = {
        "input": [str(page)],
        "root": str(tmp_path / "lake"),
        "without": ["filter"],
        "tokenizer": {"type": "bytes"},
        "tokenize": {"val_fraction": 0.2, "split_by": "tail"},
    }
    client._client.patch(
        f"/deployments/{ingest.id}", json={"parameters": {"parameters": said}}
    ).raise_for_status()
    every_minute = [{"active": True, "schedule": {"cron": "* * * * *"}}]
    made = client._client.post(f"/deployments/{ingest.id}/schedules", json=every_minute)
    made.raise_for_status()
    (schedule,) = made.json()

    def of_the_schedule() -> list[Any]:
        runs = [run for run in client.read_flow_runs() if run.deployment_id == ingest.id]
        return [run for run in runs if run.auto_scheduled and run.state and run.state.is_final()]

    (run, *_) = waited(of_the_schedule)
    client._client.delete(f"/deployments/{ingest.id}/schedules/{schedule['id']}")
    assert run.state is not None and run.state.is_completed(), run.state
    late = run.start_time - run.expected_start_time
    assert late.total_seconds() < SECONDS_OF_A_MINUTE
    assert list((tmp_path / "lake" / "tokens").glob("*/*/_MANIFEST.json"))
    log = Path(up.services()["prefect"]["detail"].removeprefix("log: ")).read_text()
    assert "ERROR" not in log


@pytest.mark.parametrize("name", ["worker", "prefect", "mlflow"])
def test_a_service_that_is_killed_comes_back(up: Up, name: str) -> None:
    before = up.services()[name]
    psutil.Process(before["pid"]).kill()

    def is_back() -> bool:
        now = up.services()[name]
        return now["stage"] == "ready" and now["pid"] != before["pid"]

    waited(is_back)
    assert up.services()[name]["starts"] == before["starts"] + 1


def test_another_lake_is_refused_while_one_is_up(up: Up, tmp_path: Path) -> None:
    refused = up.command("up", "--root", str(tmp_path / "other"))
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: up for ")


def test_a_supervisor_that_was_killed_leaves_nothing_that_the_next_up_cannot_end(up: Up) -> None:
    supervisor = json.loads(Path(up.environment["GRISTMILL_STATE"]).read_bytes())["pid"]
    psutil.Process(supervisor).kill()
    assert up.command("status").returncode == 1
    again = up.command(*up.arguments)
    assert again.returncode == 0, again.stderr
    assert {each["stage"] for each in up.services().values()} == {"ready"}
    assert {each["starts"] for each in up.services().values()} == {1}


def test_a_port_that_is_taken_is_one_line(tmp_path: Path, up: Up) -> None:
    elsewhere = Up({**up.environment, "GRISTMILL_STATE": str(tmp_path / "up.json")}, [], {})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = elsewhere.command("up", f"--prefect-port={port}", "--root", str(tmp_path))
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: port {port}: Address already in use; give another with --prefect-port\n"
    )
