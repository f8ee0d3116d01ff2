"""Runs tasks and follows them: one Spark driver for all Spark steps of a run, one child for each
other step.

A task whose artifact is there and verifies is a hit and nothing runs. Children never outlive the
block.
"""

import contextlib
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from infra.crawl import remember
from infra.errors import GristmillError, TransientError
from infra.lake.damage import Stored
from infra.lake.repair import mend
from infra.manifest import Manifest
from infra.process import Child, failure_of, run
from infra.settings import settings
from infra.step import Launch, Task

Follow = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Outcome:
    """A task's finished artifact and whether it was there before."""

    task: Task
    manifest: Manifest
    hit: bool


class Children:
    """Context manager around the child processes of a run. `flow_run`: id put into manifests."""

    def __init__(self, root: str, flow_run: str = "", follow: Follow | None = None) -> None:
        self.root = root
        self.follow: Follow = follow or (lambda event: None)
        self.environment = {"GRISTMILL_FLOW_RUN_ID": flow_run} if flow_run else {}
        self._driver: Child | None = None

    def __enter__(self) -> "Children":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            if error is None:
                driver.close_input()
                driver.wait()
            driver.__exit__(kind, error, trace)

    def make(self, task: Task) -> Outcome:
        """The task's artifact, made now unless it is there, or while another run makes it; a
        damaged one is made again. Raises GristmillError with one line when the step fails."""
        if task.crawl:
            remember(task.crawl, task.lake.root)
        found, damage = task.artifact.examined(Stored(task.lake.root))
        if damage:
            said = {"step": task.step.name, "message": damage[0].line}
            self.follow({"event": "damaged", **said})
            mend(task.artifact, damage)
        elif found is not None:
            return Outcome(task, found, True)
        self.follow({"event": "started", "step": task.step.name})
        try:
            self._launch(task)
        except TransientError:
            found = task.artifact.sound()
            if found is None:
                raise
            return Outcome(task, found, True)
        finally:
            self.follow({"event": "ended", "step": task.step.name})
        return Outcome(task, task.artifact.require(), False)

    def _launch(self, task: Task) -> None:
        match task.step.launch:
            case Launch.SPARK:
                self._spark(task)
            case Launch.TORCHRUN:
                self._child(task, ["model.launch", str(task.parameters.processes)])
            case Launch.CHILD:
                self._child(task, [])
            case Launch.HERE:
                os.environ.update(self.environment)  # as a child would have it
                importlib.import_module(task.step.module).run(task)

    def _spark(self, task: Task) -> None:
        if self._driver is None:
            said = {"step": task.step.name, "part": "start of Spark", "done": 0, "total": 0}
            self.follow({"event": "progress", **said})
            command = [sys.executable, "-m", "jobs.spark.driver", self.root]
            self._driver = Child(command, log_file("spark"), {**self.environment, **code_path()})
        driver = self._driver
        with contextlib.suppress(GristmillError):  # it died since the last step: its events end
            driver.send(task.request())
        for event in driver.events():
            if event["event"] == "result":
                return
            if event["event"] == "failed":
                if event.get("lost"):
                    self._discard(driver)
                raise failure_of(event, driver.log)
            self.follow(event)
        self._discard(driver)
        raise TransientError(str(driver.failure(task.step.name)))

    def _discard(self, driver: Child) -> None:
        """Wait for the end of a driver that is of no use any more; the next step starts another."""
        self._driver = None
        driver.wait()
        driver.__exit__(None, None, None)

    def _child(self, task: Task, launcher: list[str]) -> None:
        """`python -m [model.launch N] module TASK.json`."""
        step = task.step
        environment = {**self.environment, **code_path(), **threads()}
        if step.launch is Launch.TORCHRUN:
            from infra import tracking  # MLflow takes seconds to import

            run_id = tracking.run_id_for(self.root, task.identity.digest, task.name)
            environment["MLFLOW_RUN_ID"] = run_id
        with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
            request = Path(folder, "task.json")
            request.write_text(json.dumps(task.request()))
            command = [sys.executable, "-m", *launcher, step.module, str(request)]
            for event in run(command, log_file(step.name), step.name, environment):
                self.follow(event)
                if event["event"] == "interrupted":
                    raise GristmillError(
                        f"{step.name}: stopped at step {event.get('step')}, checkpoint saved;"
                        " run again to go on"
                    )


def damage_said(event: dict[str, Any]) -> str:
    """The event `damaged` as a line."""
    return f"{event['step']}: damaged, is made again: {event['message']}"


def log_file(step: str) -> Path:
    """A fresh log file for a child process."""
    return settings().logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{step}-{os.getpid()}.log"


def threads() -> dict[str, str]:
    """Threads of torch that wait sleep, unless the user says otherwise: where another process has
    the core, spinning made a text of 120 tokens take 9.4 s instead of 0.9 s."""
    return {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}


def code_path() -> dict[str, str]:
    """Children import the same code from whatever directory the command was called in."""
    here = str(Path(__file__).parents[2])
    return {"PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))}
