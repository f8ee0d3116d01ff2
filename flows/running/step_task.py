"""A step as a Prefect task: cached by the manifest's digest, tried again after transient errors,
followed with progress and logs."""

from functools import partial
from typing import Any

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.tasks import Task as PrefectTask

from flows.running.children import Children, Outcome, damage_said
from flows.running.pace import WATCHER, Pace, Teller
from infra.errors import TransientError
from infra.manifest import SHORT, digest_of
from infra.step import Task

PROGRESS_SECONDS = 1.0
PROGRESS = "gristmill_progress"
"""Attribute of the log records that only say how far a step is."""


class ManifestPolicy(CachePolicy):
    """The cache key is the artifact's place in the lake, hence its digest; nothing of the code or
    the run enters it."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        """The key of the `work` that the task was called with."""
        return digest_of(["gristmill", inputs["work"].artifact.uri])


def is_transient(task_: PrefectTask[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Retry when trying again may help: the network, a lost executor; never for wrong data or
    parameters."""
    try:
        state.result()
    except (TransientError, ConnectionError, TimeoutError):
        return True
    except Exception:
        return False
    return False


class Follower:
    """A child's events as a progress artifact; `pace` has them for the log."""

    def __init__(self, step: str) -> None:
        self.pace = Pace(step)
        self.artifact: Any = None
        self.progressed = 0.0
        self.log = get_run_logger()

    def __call__(self, event: dict[str, Any]) -> None:
        self.pace.take(event)
        watcher = WATCHER.get()
        if watcher is not None:
            watcher(event)
        now = self.pace.clock()
        if event["event"] == "progress" and now - self.progressed >= PROGRESS_SECONDS:
            self.progressed = now
            self.show(100.0 * self.pace.share, self.pace.line())
        if event["event"] == "damaged":
            self.log.warning(damage_said(event))
        if event["event"] == "resumed":
            self.log.info(f"goes on from the checkpoint of step {event['step']}")

    def show(self, percent: float, said: str) -> None:
        """On the run's page."""
        if self.artifact is None:
            key = f"{self.pace.step}-progress"
            self.artifact = create_progress_artifact(percent, key=key, description=said)
        else:
            update_progress_artifact(self.artifact, percent, description=said)

    def finish(self) -> None:
        """Progress to 100 %."""
        if self.artifact is not None:
            self.show(100.0, self.pace.step)


@task(
    name="step",
    task_run_name="{label}",
    cache_policy=ManifestPolicy(),
    persist_result=True,
    result_serializer="json",
    retries=2,
    retry_delay_seconds=[5, 30],
    retry_condition_fn=is_transient,
)
def step_task(work: Task, children: Children, label: str) -> dict[str, Any]:
    """Make one step's artifact; the result is its place, nothing else passes through the flow."""
    follower = Follower(work.step.name)
    children.follow = follower
    with Teller(follower.pace, partial(follower.log.info, extra={PROGRESS: True})):
        outcome = children.make(work)
    follower.finish()
    counts = outcome.manifest.counts
    rejected = sum(counts.rejected.values())
    follower.log.info(
        f"{label}: {counts.rows_in} rows in, {counts.rows_out} out, {rejected} rejected"
        f" -> {work.artifact.uri}"
    )
    return {"uri": work.artifact.uri, "digest": outcome.manifest.digest}


def make_as_task(work: Task, children: Children) -> Outcome:
    """The task's artifact. The cached state is used only while the manifest is there and
    verifies."""
    hit = work.artifact.sound() is not None
    step_task.with_options(refresh_cache=not hit)(
        work, children, f"{work.step.name} {work.identity.digest[:SHORT]}"
    )
    return Outcome(work, work.artifact.require(), hit)
