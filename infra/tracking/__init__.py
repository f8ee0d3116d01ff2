"""MLflow: runs, metrics, pointers to checkpoints, the model registry. Nobody else imports mlflow.

Importing this package imports MLflow, which takes seconds and 200 MB: callers import it late.
One run a training: it carries the training's digest as a tag and is found by it, so that a resumed
training continues it. A training never fails by its logging (`RunLog`); the functions for flows
raise GristmillError. Nothing of the environment is logged, and no message holds a tracking URI's
credentials.
"""

import os

DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# MLflow reads these when it is imported, which the modules below do.
for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)

from mlflow import MlflowClient  # noqa: E402

from infra.tracking.place import EXPERIMENT, run_page, server, ui_command, uri_for  # noqa: E402
from infra.tracking.registry import (  # noqa: E402
    CHAMPION,
    DIGEST_TAG,
    SCORE,
    SCORE_TAG,
    champion,
    promote,
    register_model,
)
from infra.tracking.run_log import (  # noqa: E402
    FLUSH_SECONDS,
    LakeSource,
    RunLog,
    history,
    log_page,
    run_id_for,
)

__all__ = [
    "CHAMPION",
    "DEFAULTS",
    "DIGEST_TAG",
    "EXPERIMENT",
    "FLUSH_SECONDS",
    "SCORE",
    "SCORE_TAG",
    "LakeSource",
    "MlflowClient",
    "RunLog",
    "champion",
    "history",
    "log_page",
    "promote",
    "register_model",
    "run_id_for",
    "run_page",
    "server",
    "ui_command",
    "uri_for",
]
