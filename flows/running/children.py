"""Runs tasks in child processes and follows them: one Spark driver for all Spark steps, one child for each other step.

A task whose artifact is there and verifies is a hit and nothing runs. Children never outlive the runner.
"""

import contextlib
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

from flows.chain.steps import SPARK, TRAIN, command
from infra.errors import GristmillError, TransientError
from infra.manifest import Manifest
from infra.process import Child, failure_of, run
from infra.settings import settings
from infra.step import Task

Follow = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Outcome:
    """A task's finished artifact and whether it was there before."""

    task: Task
    manifest: Manifest
    hit: bool


class Runner:
    """Context manager around the child processes of a run. `flow_run`: id put into manifests."""

    def __init__(self, root: str, flow_run: str = "", follow: Follow | None = None) -> None:
        self.root = root
        self.follow: Follow = follow or (lambda event: None)
        self.environment: dict[str, str] = {"GRISTMILL_FLOW_RUN_ID": flow_run} if flow_run else {}
        self._driver: Child | None = None

    def __enter__(self) -> "Runner":
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

    def run(self, task: Task) -> Outcome:
        """The task's artifact, made now unless it is there. Raises GristmillError with one line when the step fails."""
        found = task.artifact.manifest()
        if found is not None:
            return Outcome(task, found, True)
        if task.step.name == "report":
            from flows.card.write import write_report

            os.environ.update(self.environment)  # as a child would have it
            return Outcome(task, write_report(task), False)
        if task.step.name in SPARK:
            self._spark(task)
        else:
            self._child(task)
        return Outcome(task, task.artifact.require(), False)

    def _spark(self, task: Task) -> None:
        if self._driver is None:
            self._driver = Child(
                [sys.executable, "-m", "jobs.spark.driver", self.root],
                log_file("spark"),
                {**self.environment, **code_path()},
            )
        driver = self._driver
        with contextlib.suppress(
            GristmillError
        ):  # a driver that died since the last step: its events end at once
            driver.send(task.request())
        for event in driver.events():
            if event["event"] == "result":
                return
            if event["event"] == "failed":
                raise failure_of(event)
            self.follow(event)
        driver.wait()
        self._driver = None
        driver.__exit__(None, None, None)
        raise TransientError(str(driver.failure(task.step.name)))

    def _child(self, task: Task) -> None:
        environment = {**self.environment, **code_path()}
        if task.step is TRAIN:
            from infra import tracking  # MLflow takes seconds to import

            environment["MLFLOW_RUN_ID"] = tracking.run_id_for(
                self.root, task.identity.digest, task.name
            )
        with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
            request = Path(folder, "task.json")
            request.write_text(json.dumps(task.request()))
            arguments = command(task, str(request))
            for event in run(arguments, log_file(task.step.name), task.step.name, environment):
                self.follow(event)
                if event["event"] == "interrupted":
                    raise GristmillError(
                        f"{task.step.name}: stopped at step {event.get('step')}, checkpoint saved; run again to go on"
                    )


def log_file(step: str) -> Path:
    """A fresh log file for a child process."""
    return settings().logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{step}-{os.getpid()}.log"


def code_path() -> dict[str, str]:
    """Children import the same code from whatever directory the command was called in."""
    here = str(Path(__file__).parents[2])
    return {"PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))}
