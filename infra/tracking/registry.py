"""The model registry: versions that lie in the lake, and the champion among them.

A version's source is the exported folder itself, which holds an MLmodel: `models:/NAME@champion`
loads from there. Only a tracking server that cannot see a lake on this machine's disk gets a copy.
A version carries the model's URI, its digest and the scores it was registered with as tags. A
digest is registered once.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from infra import storage
from infra.manifest import SHORT
from infra.tracking.place import experiment_of, followed, has_server, speaking

DIGEST_TAG = "gristmill.digest"
CHAMPION = "champion"
SCORE = "val_bits_per_byte"
SCORE_TAG = "score."
NO_CHAMPION = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""How MLflow says that the model is not registered, or has no such alias."""


def register_model(
    lake_root: str, name: str, uri: str, digest: str, run_id: str, scores: Mapping[str, float]
) -> str:
    """The registry's version of the model at `uri`, made if this digest has none yet."""
    with speaking(lake_root) as client:
        with contextlib.suppress(MlflowException):  # it is there already
            client.create_registered_model(name)
        for version in client.search_model_versions(f"name = '{name}'"):
            if version.tags.get(DIGEST_TAG) == digest:
                return str(version.version)
        measured = {SCORE_TAG + key: repr(float(value)) for key, value in scores.items()}
        tags = {"uri": uri, DIGEST_TAG: digest, **measured}
        source, run, model_id = uri, run_id or None, None
        if has_server(lake_root) and storage.is_local(uri):
            model_id = copied(client, lake_root, f"{name}-{digest[:SHORT]}", run_id, uri)
            source = f"models:/{model_id}"
        with followed(lake_root):  # a client looks models up by the process's URI, not its own
            made = client.create_model_version(name, source, run, tags=tags, model_id=model_id)
        return str(made.version)


def copied(client: MlflowClient, lake_root: str, name: str, run_id: str, uri: str) -> str:
    """Id of a model on the tracking server with the files of a local folder."""
    experiment = experiment_of(client, lake_root)
    model = client.create_logged_model(experiment, name, run_id or None)
    client.log_model_artifacts(model.model_id, storage.local_path(uri))
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def champion(lake_root: str, name: str) -> dict[str, Any] | None:
    """The model's champion, or None when there is none.

    `{"version", "val_bits_per_byte", "run_id", "digest", "uri", "scores"}`; `scores` are the
    numbers it was registered with.
    """
    with speaking(lake_root) as client:
        try:
            found = client.get_model_version_by_alias(name, CHAMPION)
        except MlflowException as error:
            if error.error_code in NO_CHAMPION:
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
    with speaking(lake_root) as client:
        client.set_registered_model_alias(name, CHAMPION, version)


def point_to(
    client: MlflowClient, lake_root: str, name: str, run_id: str, tags: dict[str, str]
) -> str:
    """Id of a new external model, MLflow's name for files that are elsewhere."""
    experiment = experiment_of(client, lake_root)
    with followed(lake_root):
        made = mlflow.create_external_model(name, run_id or None, tags, experiment_id=experiment)
    return str(made.model_id)
