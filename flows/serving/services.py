"""The supervisor of `gristmill up`: starts the services in their order, starts those again that
end, and stops them all when it is told to.

    prefect   Prefect's server and page            mlflow   MLflow's, on the lake's runs
    set-up    work pool and deployments, once      worker   makes runs that are due or asked for

    python -m flows.serving.services ROOT PREFECT_PORT MLFLOW_PORT

All listen on loopback and ask for the passwords of the user's file (`infra.secrets`), which go to
them in their environment. A service that ends is started again after a pause that doubles; one that
ends STARTS times without having been ready stays `failed`, with its last words in the state.
"""

import base64
import contextlib
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows.running.children import code_path, log_file
from flows.serving.deployments import HOME, POOL
from flows.serving.pages import HOST, prefect_server
from flows.serving.state import MARK, Running, State, mine, where
from infra import secrets, tracking
from infra.errors import GristmillError
from infra.process import Child

LOOK_SECONDS = 0.5
ANSWER_SECONDS = 5.0
STARTS = 5
MOST_PAUSE_SECONDS = 30.0
WORKER_GRACE_SECONDS = 60.0
"""For the worker's runs: a training saves a checkpoint."""


@dataclass
class Service:
    """What is started, and how one knows that it is ready.

    module       and its arguments, of this Python
    after        what must be ready before
    once         it ends by itself, and is ready then
    """

    running: Running
    module: list[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool]
    folder: Path
    after: tuple[str, ...] = ()
    once: bool = False
    child: Child | None = None
    not_before: float = 0.0
    failures: int = 0


@dataclass
class Supervisor:
    """The services, each behind those that it comes after."""

    state: State
    services: list[Service]
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `ended` is set; then all are stopped, the last started first."""
        try:
            while not self.ended.wait(LOOK_SECONDS):
                before = str(self.state)
                self.look()
                if str(self.state) != before:
                    self.state.write()
        finally:
            for service in reversed(self.services):
                self.stop(service)

    def look(self) -> None:
        """One step on: what ended is noticed, what is ready counts, the next begins."""
        for service in self.services:
            ready = {each.name for each in self.state.services if each.stage == "ready"}
            if service.child is not None:
                self.follow(service, service.child)
            elif (
                service.running.stage in ("waits", "starts")
                and ready.issuperset(service.after)
                and time.monotonic() >= service.not_before
            ):
                self.start(service)

    def start(self, service: Service) -> None:
        """Begin it."""
        running, log = service.running, log_file(service.running.name)
        command = [sys.executable, "-m", *service.module]
        service.child = Child(
            command,
            log,
            {**code_path(), **service.environment, MARK: str(where())},
            folder=service.folder,
            private=True,
        )
        threading.Thread(target=drain, args=[service.child], daemon=True).start()
        running.stage, running.pid, running.detail = "starts", service.child.pid, f"log: {log}"
        running.starts += 1

    def follow(self, service: Service, child: Child) -> None:
        """Whether it has ended, or is ready."""
        running = service.running
        code = child.ended()
        if code is None:
            if running.stage == "starts" and not service.once and service.is_ready():
                running.stage, service.failures = "ready", 0
            return
        service.child = None
        if service.once and code == 0:
            running.stage = "ready"
        else:
            service.failures += 1
            pause = min(MOST_PAUSE_SECONDS, 2.0 ** (service.failures - 1))
            service.not_before = time.monotonic() + pause
            running.stage = "failed" if service.failures >= STARTS else "starts"
            running.detail = str(child.failure(running.name))
        running.pid = 0
        child.__exit__(None, None, None)

    def stop(self, service: Service) -> None:
        """End it, with time for what it does."""
        child, service.child = service.child, None
        if child is not None:
            service.running.stage = "stops"
            self.state.write()
            with contextlib.suppress(GristmillError):
                child.stop(WORKER_GRACE_SECONDS)
            child.__exit__(None, None, None)


def drain(child: Child) -> None:
    """What a service prints goes to its log."""
    for _ in child.events():
        pass


def answers(url: str, login: str = "", body: bytes | None = None) -> bytes | None:
    """What a server answers; None where it does not, or not with a success."""
    headers = {"Content-Type": "application/json"}
    if login:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    try:
        asked = urllib.request.Request(url, body, headers)
        with urllib.request.urlopen(asked, timeout=ANSWER_SECONDS) as answer:
            return bytes(answer.read())
    except (OSError, urllib.error.URLError):
        return None


def works(api: str, login: str) -> bool:
    """Whether a worker of our pool has shown itself."""
    found = answers(f"{api}/work_pools/{POOL}/workers/filter", login, b"{}")
    return any(each.get("status") == "ONLINE" for each in json.loads(found or b"[]"))


def services_of(root: str, prefect_port: int, mlflow_port: int) -> list[Service]:
    """What is brought up for a lake."""
    known = secrets.of_user()
    prefect, mlflow = f"http://{HOST}:{prefect_port}", f"http://{HOST}:{mlflow_port}"
    api, login = f"{prefect}/api", known["PREFECT_API_AUTH_STRING"]
    to_prefect = {"PREFECT_API_URL": api, "PREFECT_API_AUTH_STRING": login}
    to_mlflow = {
        "MLFLOW_TRACKING_URI": mlflow,
        "MLFLOW_PAGE_URL": mlflow,
        **{name: known[name] for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")},
    }
    at_home = {"GRISTMILL_HOME": str(HOME)}
    page, its_own = prefect_server(prefect_port, known)
    runs, of_runs = tracking.server(root, HOST, mlflow_port, known)
    beside = secrets.where().parent
    return [
        Service(
            Running("prefect", url=prefect),
            page,
            its_own,
            lambda: answers(f"{api}/admin/version", login) is not None,
            beside,
        ),
        Service(
            Running("mlflow", url=mlflow),
            runs,
            of_runs,
            lambda: answers(f"{mlflow}/health") is not None,
            beside,
        ),
        Service(
            Running("set-up"),
            ["flows.serving.deployments"],
            {**to_prefect, **at_home},
            lambda: False,
            HOME,
            after=("prefect",),
            once=True,
        ),
        Service(
            Running("worker"),
            ["prefect", "worker", "start", "--pool", POOL, "--type", "process"],
            {**to_prefect, **to_mlflow, **at_home},
            lambda: works(api, login),
            HOME,
            after=("mlflow", "set-up"),
        ),
    ]


def main() -> None:
    """Entry point of the supervisor."""
    root, prefect_port, mlflow_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    services = services_of(root, prefect_port, mlflow_port)
    state = mine(root, [service.running for service in services])
    supervisor = Supervisor(state, services)
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: supervisor.ended.set())
    state.write()
    supervisor.run()
    os._exit(0)  # nothing is left to do, and threads wait for nobody


if __name__ == "__main__":
    main()
