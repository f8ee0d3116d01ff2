"""The gate: a model is registered once, and becomes `champion` only if bits per byte improve.

The verdict is written below the report's `_work/` before the alias moves, so that a run that died
in between takes the same verdict up again: nothing is registered twice, and the card still shows
the champion that was beaten.
"""

import json
import math
from typing import Any

from infra import storage, tracking
from infra.errors import GristmillError
from infra.lake import WORK
from infra.manifest import Manifest
from infra.step import Task


def gate(task: Task, scores: Manifest) -> dict[str, Any]:
    """Register the task's model with its scores; move the champion if it is beaten. The verdict:

    model, version  name and version in the registry
    run_id          the MLflow run of the training
    champion        whether this model is the champion now
    before          the champion before (`tracking.champion`): None if there was none, this model
                    itself if it was champion already
    same_text       whether both were measured on as many bytes of validation text
    Raises GristmillError when MLflow fails or the model has no finite score.
    """
    name, model, root = task.parameters.registered_model, task.inputs["models"], task.lake.root
    measured = measures(task, scores)
    run_id = next(
        (a.known().mlflow_run_id for a in task.lake.ancestors(model) if a.kind == "checkpoints"),
        "",
    )
    version = tracking.register_model(root, name, model.uri, model.digest, run_id, measured)
    standing = tracking.champion(root, name)
    verdict = interrupted_verdict(task, version, standing)
    if verdict is None:
        verdict = {
            "model": name,
            "version": version,
            "run_id": run_id,
            **compare(measured, version, standing),
        }
        storage.write_bytes(note(task), json.dumps(verdict).encode())
    if verdict["champion"] and (standing is None or standing["version"] != version):
        tracking.promote(root, name, version)
    return verdict


def measures(task: Task, scores: Manifest) -> dict[str, float]:
    """The numbers among the scores: a version is registered with them."""
    found = {
        key: float(value) for key, value in scores.details.items() if isinstance(value, int | float)
    }
    if not math.isfinite(found.get(tracking.SCORE, math.nan)):
        raise GristmillError(
            f"{task.inputs['scores'].uri}: no finite {tracking.SCORE};"
            " look at the training's loss, train again"
        )
    return found


def compare(
    measured: dict[str, float], version: str, standing: dict[str, Any] | None
) -> dict[str, Any]:
    """Whether a version with these numbers is or becomes champion.

    A champion without a score is beaten by any.
    """
    if standing is None:
        return {"champion": True, "before": None, "same_text": True}
    beaten = standing[tracking.SCORE] is None or measured[tracking.SCORE] < standing[tracking.SCORE]
    same_text = standing["scores"].get("val_bytes") == measured.get("val_bytes")
    return {
        "champion": beaten or standing["version"] == version,
        "before": standing,
        "same_text": same_text,
    }


def note(task: Task) -> str:
    """Where the verdict waits for the report's manifest."""
    return task.artifact.file(WORK, "verdict.json")


def interrupted_verdict(
    task: Task, version: str, standing: dict[str, Any] | None
) -> dict[str, Any] | None:
    """The verdict of an attempt that died, unless the champion has changed since by other hands."""
    if not storage.exists(note(task)):
        return None
    verdict: dict[str, Any] = json.loads(storage.read_bytes(note(task)))
    moved = verdict["champion"] and standing is not None and standing["version"] == version
    return verdict if moved or standing == verdict["before"] else None
