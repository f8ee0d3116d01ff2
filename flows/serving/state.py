"""What `gristmill up` has brought up, in one file: the supervisor writes it, the commands read it.

The file (GRISTMILL_STATE) holds process ids and addresses, no secrets. A supervisor that was killed
leaves it behind: `alive` tells by the process itself.
"""

import contextlib
import dataclasses
import json
import os
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from infra.private import private_file
from infra.process import lives
from infra.settings import settings

MARK = "GRISTMILL_UP"
"""Environment variable of all that a supervisor starts: the state's file."""
LEFT_SECONDS = 10.0
Stage = Literal["waits", "starts", "ready", "failed", "stops"]


@dataclass
class Running:
    """One service.

    detail  why it failed, or where its log is
    starts  how often it was started
    """

    name: str
    stage: Stage = "waits"
    pid: int = 0
    url: str = ""
    detail: str = ""
    starts: int = 0


@dataclass
class State:
    """The supervisor and its services.

    pid, created  the process, and when it began (epoch seconds): ids are used again
    root          the lake whose MLflow it serves
    """

    pid: int
    created: float
    root: str
    services: list[Running] = field(default_factory=list)

    @property
    def stage(self) -> Stage:
        """`ready` where all are; else the first stage that is not."""
        return next((each.stage for each in self.services if each.stage != "ready"), "ready")

    def alive(self) -> bool:
        """Whether the supervisor lives."""
        return alive(self.pid, self.created)

    def write(self) -> None:
        """Replace the file, whole, for this user alone."""
        path = where()
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        with private_file(temporary) as out:
            out.write(json.dumps(dataclasses.asdict(self)).encode())
        temporary.replace(path)


def alive(pid: int, created: float | None = None) -> bool:
    """Whether the process lives; with `created` the one that began then."""
    try:
        process = psutil.Process(pid)
        same = created is None or abs(process.create_time() - created) < 1.0
        return same and lives(process)
    except psutil.NoSuchProcess:
        return False


def mine(root: str, services: list[Running]) -> State:
    """The state that this process is the supervisor of."""
    return State(os.getpid(), psutil.Process().create_time(), root, services)


def read() -> State | None:
    """What is up; None where nothing is."""
    try:
        stored: dict[str, Any] = json.loads(where().read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    services = [Running(**each) for each in stored.pop("services")]
    state = State(**stored, services=services)
    return state if state.alive() else None


def end_leftovers() -> int:
    """End what a supervisor left that was killed; how many processes."""
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(where()):
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=LEFT_SECONDS)
    return len(left)


def wait_for_end(state: State, seconds: float) -> bool:
    """Whether the supervisor ends within that time."""
    until = time.monotonic() + seconds
    while state.alive():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def where() -> Path:
    """The file."""
    return settings().state.expanduser().absolute()
