"""MLflow: runs, metrics, pointers to checkpoints, the model registry. Nobody else imports mlflow.

Where: MLFLOW_TRACKING_URI, else SQLite in the lake (`<root>/mlflow.db`, files under `<root>/mlflow`), or in the logs directory for a
lake on S3. One run a training: it carries the training's digest as a tag and is found by it, so a resumed training continues it.

A training logs through `RunLog`, whose one thread batches what has gathered since its last call; the training never waits for it
and never fails by it: the first error is one warning line and ends the logging. The functions for flows raise GristmillError.
Nothing of the environment is logged, and no message holds a tracking URI's credentials.
"""

import contextlib
import os
import queue
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)

import mlflow  # noqa: E402 - reads the defaults above on import
from mlflow import MlflowClient  # noqa: E402
from mlflow.data.dataset_source import DatasetSource  # noqa: E402
from mlflow.data.meta_dataset import MetaDataset  # noqa: E402
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

from infra import storage  # noqa: E402
from infra.errors import GristmillError  # noqa: E402
from infra.lake import Artifact  # noqa: E402
from infra.settings import settings  # noqa: E402

EXPERIMENT = "gristmill"
SQLITE = "sqlite:///"
DIGEST_TAG = "gristmill.digest"
CHAMPION = "champion"
SCORE = "val_bits_per_byte"
SCORE_TAG = "score."
FLUSH_SECONDS = 15.0
PARAMS_A_BATCH = 100


def uri_for(lake_root: str) -> str:
    """The tracking URI for a lake."""
    chosen = settings().mlflow_tracking_uri
    return chosen or f"{SQLITE}{_local_folder(lake_root)}/mlflow.db"


def public(uri: str) -> str:
    """The URI without user, password and query, for messages."""
    parts = urlsplit(uri)
    if not parts.netloc:
        return uri
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def run_id_for(lake_root: str, digest: str, name: str) -> str:
    """The run of the training with this digest, made if there is none; set to running. Empty, with a warning, when MLflow fails."""
    try:
        return _find_or_create_run(lake_root, digest, name)
    except Exception as error:
        _warn(lake_root, error)
        return ""


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
    """Logging of one training (rank 0). Calls return at once; `close` waits for what is under way, at most FLUSH_SECONDS."""

    def __init__(self, lake_root: str, digest: str, name: str) -> None:
        self.run_id = os.environ.get("MLFLOW_RUN_ID", "")
        self._root, self._digest, self._name = lake_root, digest, name
        self._tasks: queue.Queue[Callable[[MlflowClient], None] | list[Metric] | None] = (
            queue.Queue()
        )
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def begin(self, parameters: Mapping[str, Any], tokens: Artifact) -> None:
        """Log the parameters (nested keys joined by dots) and the token data set with its digest; no data is read."""
        params = [Param(key, str(value)) for key, value in _flat(parameters)]

        def work(client: MlflowClient) -> None:
            for start in range(0, len(params), PARAMS_A_BATCH):
                client.log_batch(self.run_id, params=params[start : start + PARAMS_A_BATCH])
            dataset = MetaDataset(  # type: ignore[abstract]
                LakeSource(tokens.uri), name=f"tokens/{tokens.name}", digest=tokens.digest[:12]
            )
            context = [InputTag("mlflow.data.context", "training")]
            client.log_inputs(self.run_id, [DatasetInput(dataset._to_mlflow_entity(), context)])

        self._tasks.put(work)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers of a step."""
        now = int(time.time() * 1000)
        self._tasks.put([Metric(key, value, now, step) for key, value in values.items()])

    def checkpoint(self, step: int, uri: str, values: Mapping[str, float]) -> None:
        """Record where the checkpoint of a step is, with its scores; the files stay where they are."""

        def work(client: MlflowClient) -> None:
            model_id = _pointer(client, self._root, f"step-{step:08d}", self.run_id, {"uri": uri})
            client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step)])
            for key, value in values.items():
                client.log_metric(self.run_id, key, value, step=step, model_id=model_id)

        self._tasks.put(work)

    def close(self, status: str, scores: Mapping[str, float] | None = None) -> None:
        """Log final scores, send everything, end the run as FINISHED, or KILLED where it will go on later."""
        scores = dict(scores or {})

        def work(client: MlflowClient) -> None:
            client.log_batch(
                self.run_id,
                metrics=[
                    Metric(f"final_{k}", v, int(time.time() * 1000), 0) for k, v in scores.items()
                ],
            )
            client.set_terminated(self.run_id, status)

        self._tasks.put(work)
        self._tasks.put(None)
        self._thread.join(FLUSH_SECONDS)

    def _work(self) -> None:
        try:
            self.run_id = self.run_id or _find_or_create_run(self._root, self._digest, self._name)
            client = _client(uri_for(self._root))
            while (task := self._tasks.get()) is not None:
                if isinstance(task, list):
                    following = self._send_metrics(client, task)
                    if following is None:
                        return
                    task = following
                if callable(task):
                    task(client)
        except Exception as error:
            _warn(self._root, error)

    def _send_metrics(
        self, client: MlflowClient, batch: list[Metric]
    ) -> Callable[[MlflowClient], None] | list[Metric] | None:
        """Send these numbers together with those queued behind them; what came after the numbers, [] for nothing yet."""
        following: Callable[[MlflowClient], None] | list[Metric] | None = []
        while len(batch) < 900 and not self._tasks.empty():
            following = self._tasks.get()
            if not isinstance(following, list):
                break
            batch, following = batch + following, []
        client.log_batch(self.run_id, metrics=batch)
        return following


def register_model(
    lake_root: str, name: str, uri: str, digest: str, run_id: str, scores: Mapping[str, float]
) -> str:
    """The registry's version of the model at `uri`, made if this digest has none yet."""
    with _speaking(lake_root) as client:
        with contextlib.suppress(MlflowException):
            client.create_registered_model(name)
        for version in client.search_model_versions(f"name = '{name}'"):
            if version.tags.get(DIGEST_TAG) == digest:
                return str(version.version)
        tags = {
            "uri": uri,
            DIGEST_TAG: digest,
            **{SCORE_TAG + key: repr(float(value)) for key, value in scores.items()},
        }
        model_id = _pointer(client, lake_root, f"{name}-{digest[:12]}", run_id, tags)
        made = client.create_model_version(
            name, f"models:/{model_id}", run_id or None, tags=tags, model_id=model_id
        )
        return str(made.version)


def champion(lake_root: str, name: str) -> dict[str, Any] | None:
    """`{"version", "val_bits_per_byte", "run_id", "digest", "uri", "scores"}` of the model's champion, or None when there is none.

    `scores` are the numbers it was registered with.
    """
    with _speaking(lake_root) as client:
        try:
            found = client.get_model_version_by_alias(name, CHAMPION)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        scores = {
            key.removeprefix(SCORE_TAG): float(value)
            for key, value in found.tags.items()
            if key.startswith(SCORE_TAG)
        }
        return {
            "version": str(found.version),
            SCORE: scores.get(SCORE),
            "scores": scores,
            "run_id": found.run_id or "",
            "digest": found.tags.get(DIGEST_TAG, ""),
            "uri": found.tags.get("uri", ""),
        }


def promote(lake_root: str, name: str, version: str) -> None:
    """Move the alias `champion` to that version."""
    with _speaking(lake_root) as client:
        client.set_registered_model_alias(name, CHAMPION, version)


def history(lake_root: str, run_id: str, metric: str) -> list[tuple[int, float]]:
    """(step, value) of a run's metric, by step; of a step logged twice (a resumed run), the last value."""
    with _speaking(lake_root) as client:
        found = sorted(
            client.get_metric_history(run_id, metric), key=lambda m: (m.step, m.timestamp)
        )
        return sorted({m.step: m.value for m in found}.items())


def _local_folder(lake_root: str) -> str:
    folder = (
        storage.local_path(lake_root)
        if storage.is_local(lake_root)
        else str(settings().logs.absolute())
    )
    os.makedirs(folder, exist_ok=True)
    return folder


@cache
def _client(uri: str) -> MlflowClient:
    path = uri.removeprefix(SQLITE)
    if uri.startswith(SQLITE) and not os.path.exists(path):
        _make_database(path)
    return MlflowClient(uri, uri)


def _pointer(
    client: MlflowClient, lake_root: str, name: str, run_id: str, tags: dict[str, str]
) -> str:
    """Id of a new external model; this one call of MLflow's has no client of its own and follows the process's URI."""
    mlflow.set_tracking_uri(uri_for(lake_root))
    mlflow.set_registry_uri(uri_for(lake_root))
    made = mlflow.create_external_model(
        name, run_id or None, tags, experiment_id=_experiment(client, lake_root)
    )
    return str(made.model_id)


def _make_database(path: str) -> None:
    """MLflow makes its tables one by one; a kill between two of them must not leave a file that never opens again."""
    temporary = f"{path}.{uuid.uuid4().hex}.tmp"
    MlflowClient(SQLITE + temporary).search_experiments(max_results=1)
    with contextlib.suppress(FileExistsError):
        os.link(temporary, path)
    os.unlink(temporary)


def _experiment(client: MlflowClient, lake_root: str) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        place = (
            None if settings().mlflow_tracking_uri else f"file://{_local_folder(lake_root)}/mlflow"
        )
        with contextlib.suppress(MlflowException):
            return str(client.create_experiment(EXPERIMENT, place))
        found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        raise GristmillError(
            f"MLflow at {public(uri_for(lake_root))}: the experiment '{EXPERIMENT}' cannot be made; restore it if deleted"
        )
    return str(found.experiment_id)


def _find_or_create_run(lake_root: str, digest: str, name: str) -> str:
    client = _client(uri_for(lake_root))
    experiment = _experiment(client, lake_root)
    runs = client.search_runs([experiment], f"tags.`{DIGEST_TAG}` = '{digest}'", max_results=1)
    if runs:
        client.update_run(runs[0].info.run_id, status="RUNNING")
        return str(runs[0].info.run_id)
    return str(
        client.create_run(
            experiment, tags={DIGEST_TAG: digest}, run_name=f"{name}-{digest[:12]}"
        ).info.run_id
    )


@contextlib.contextmanager
def _speaking(lake_root: str) -> Iterator[MlflowClient]:
    try:
        yield _client(uri_for(lake_root))
    except (MlflowException, OSError) as error:
        said = type(error).__name__ if settings().mlflow_tracking_uri else str(error)
        raise GristmillError(
            f"MLflow at {public(uri_for(lake_root))}: {said}; check MLFLOW_TRACKING_URI and the server"
        ) from None


def _warn(lake_root: str, error: Exception) -> None:
    where = public(uri_for(lake_root))
    sys.stderr.write(
        f"warning: MLflow at {where} failed ({type(error).__name__}); the training goes on without logging\n"
    )
    sys.stderr.flush()


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def ui_command(lake_root: str, program: str = "mlflow") -> str:
    """How to open the MLflow page on this lake's runs."""
    uri = uri_for(lake_root)
    if uri.startswith(("http://", "https://")):
        return f"mlflow server is at {public(uri)}"
    return f"{program} ui --host 127.0.0.1 --backend-store-uri {public(uri)}   then open http://127.0.0.1:5000"


def run_page(lake_root: str, run_id: str) -> str:
    """The URL of a run's page on the tracking server; empty where there is no server."""
    uri = uri_for(lake_root)
    if not run_id or not uri.startswith(("http://", "https://")):
        return ""
    with _speaking(lake_root) as client:
        page = settings().mlflow_page.rstrip("/") or public(uri)
        return f"{page}/#/experiments/{client.get_run(run_id).info.experiment_id}/runs/{run_id}"
