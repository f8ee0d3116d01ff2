"""The run of one training: found by the training's digest, filled while it goes, read afterwards.

A training logs through `RunLog`, whose one thread sends what has gathered since its last call: a
call to MLflow takes up to a tenth of a second, and the training never waits for it and never fails
by it. The first error is one warning line and ends the logging. Nothing of the environment is
logged; files stay where they are, MLflow gets pointers to them.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param

from infra.errors import GristmillError
from infra.lake import Artifact
from infra.manifest import SHORT
from infra.parameters import flatten
from infra.tracking.place import client_for, experiment_of, followed, speaking, warn
from infra.tracking.registry import DIGEST_TAG, point_to

FLUSH_SECONDS = 15.0
FINISHED = "FINISHED"
NAME_TAG, STEP_TAG = "gristmill.name", "gristmill.step"
PARAMS_A_BATCH = 100
METRICS_A_BATCH = 900
"""MLflow takes at most 100 parameters and 1000 metrics a call."""

Work = Callable[[MlflowClient], None]
Sent = Work | list[Metric] | None
"""What waits for the thread: a call, numbers to be sent together with others, the end."""


def run_id_for(lake_root: str, digest: str, name: str) -> str:
    """The run of the training with this digest, made if there is none; set to running.

    Empty, with a warning, when MLflow fails.
    """
    try:
        return _find_or_create_run(lake_root, digest, name)
    except Exception as error:
        warn(lake_root, error)
        return ""


def history(lake_root: str, run_id: str, metric: str) -> list[tuple[int, float]]:
    """(step, value) of a run's metric, by step.

    Of a step logged twice (a resumed run), the last value.
    """
    with speaking(lake_root) as client:
        found = client.get_metric_history(run_id, metric)
        found = sorted(found, key=lambda m: (m.step, m.timestamp))
        return sorted({m.step: m.value for m in found}.items())


def log_page(lake_root: str, run_id: str, name: str, page: str) -> None:
    """Put a page among a run's artifacts; one of that name is replaced."""
    with speaking(lake_root) as client, followed(lake_root):
        client.log_text(run_id, page, name)


def _find_or_create_run(lake_root: str, digest: str, name: str) -> str:
    client = client_for(lake_root)
    experiment = experiment_of(client, lake_root)
    runs = client.search_runs([experiment], f"tags.`{DIGEST_TAG}` = '{digest}'", max_results=1)
    if runs:
        client.update_run(runs[0].info.run_id, status="RUNNING")
        return str(runs[0].info.run_id)
    made = client.create_run(
        experiment, tags={DIGEST_TAG: digest}, run_name=f"{name}-{digest[:SHORT]}"
    )
    return str(made.info.run_id)


class LakeSource(DatasetSource):
    """An artifact as MLflow's data set source: a pointer, never loaded through MLflow."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @staticmethod
    def _get_source_type() -> str:
        return "gristmill"

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return False

    @classmethod
    def _resolve(cls, raw_source: Any) -> "LakeSource":
        return cls(raw_source)

    def load(self) -> Any:
        """Refused: data is read through the lake."""
        raise GristmillError(f"{self.uri}: read it with `gristmill show`, not through MLflow")

    def to_dict(self) -> dict[Any, Any]:
        """The pointer."""
        return {"uri": self.uri}

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> "LakeSource":
        """The source that `to_dict` described."""
        return cls(source_dict["uri"])


class RunLog:
    """Logging of one training, by its rank 0 alone.

    Calls return at once; `close` waits for what is under way, at most FLUSH_SECONDS.
    """

    def __init__(self, lake_root: str, digest: str, name: str) -> None:
        self.run_id = os.environ.get("MLFLOW_RUN_ID", "")
        self._root, self._digest, self._name = lake_root, digest, name
        self._waiting: queue.Queue[Sent] = queue.Queue()
        self._thread = threading.Thread(target=self._send_all, name="tracking", daemon=True)
        self._thread.start()

    def begin(self, parameters: Mapping[str, Any], tokens: Artifact) -> None:
        """Log the parameters (nested keys joined by dots) and the token data set with its digest.

        No data is read.
        """
        params = [Param(key, str(value)) for key, value in flatten(parameters).items()]

        def work(client: MlflowClient) -> None:
            for start in range(0, len(params), PARAMS_A_BATCH):
                client.log_batch(self.run_id, params=params[start : start + PARAMS_A_BATCH])
            dataset = MetaDataset(  # type: ignore[abstract]
                LakeSource(tokens.uri), name=f"tokens/{tokens.name}", digest=tokens.digest[:SHORT]
            )
            context = [InputTag("mlflow.data.context", "training")]
            client.log_inputs(self.run_id, [DatasetInput(dataset._to_mlflow_entity(), context)])

        self._waiting.put(work)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers of a step."""
        self._waiting.put(_metrics(values, step))

    def checkpoint(self, step: int, uri: str, values: Mapping[str, float]) -> None:
        """Record where the checkpoint of a step is, with its scores; the files stay there."""
        tags = {"uri": uri, NAME_TAG: self._name, STEP_TAG: str(step)}

        def work(client: MlflowClient) -> None:
            model_id = point_to(client, self._root, f"step-{step:08d}", self.run_id, tags)
            for key, value in values.items():
                client.log_metric(self.run_id, key, value, step=step, model_id=model_id)

        self._waiting.put(work)

    def kept(self, steps: Iterable[int]) -> None:
        """Forget the checkpoints recorded so far but those of these steps: their files are gone."""
        there = set(steps)

        def work(client: MlflowClient) -> None:
            for step, model_id in self._checkpoints(client):
                if step not in there:
                    client.delete_logged_model(model_id)

        self._waiting.put(work)

    def close(self, status: str, scores: Mapping[str, float] | None = None) -> None:
        """Log final scores, send everything, end the run.

        status   FINISHED: the checkpoints that are left become the run's outputs, of which MLflow
                 takes none back; or KILLED where it will go on later
        """
        final = _metrics({f"final_{key}": value for key, value in (scores or {}).items()}, 0)

        def work(client: MlflowClient) -> None:
            client.log_batch(self.run_id, metrics=final)
            left = [LoggedModelOutput(model, step) for step, model in self._checkpoints(client)]
            if status == FINISHED and left:
                client.log_outputs(self.run_id, left)
            client.set_terminated(self.run_id, status)

        self._waiting.put(work)
        self._waiting.put(None)
        self._thread.join(FLUSH_SECONDS)

    def _checkpoints(self, client: MlflowClient) -> list[tuple[int, str]]:
        """Step and model id of the recorded checkpoints, by step. The same training may have been
        made under another name: those are not ours."""
        where = [experiment_of(client, self._root)]
        wanted = f"source_run_id = '{self.run_id}'"
        found, page = [], client.search_logged_models(where, wanted)
        while True:
            mine = [model for model in page if model.tags.get(NAME_TAG) == self._name]
            found += [(int(model.tags[STEP_TAG]), model.model_id) for model in mine]
            if not page.token:
                return sorted(found)
            page = client.search_logged_models(where, wanted, page_token=page.token)

    def _send_all(self) -> None:
        try:
            self.run_id = self.run_id or _find_or_create_run(self._root, self._digest, self._name)
            client = client_for(self._root)
            following = self._waiting.get()
            while following is not None:
                if isinstance(following, list):
                    following = self._send_metrics(client, following)
                else:
                    following(client)
                    following = self._waiting.get()
        except Exception as error:
            warn(self._root, error)

    def _send_metrics(self, client: MlflowClient, batch: list[Metric]) -> Sent:
        """Send these numbers with those that wait right behind them; gives what comes after."""
        while len(batch) < METRICS_A_BATCH and not self._waiting.empty():
            following = self._waiting.get()
            if not isinstance(following, list):
                client.log_batch(self.run_id, metrics=batch)
                return following
            batch = batch + following
        client.log_batch(self.run_id, metrics=batch)
        return self._waiting.get()


def _metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(key, value, now, step) for key, value in values.items()]
