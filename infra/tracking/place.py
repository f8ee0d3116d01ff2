"""Where MLflow is: its address for a lake, its client, the experiment, the pages to look at.

MLFLOW_TRACKING_URI, else SQLite in the lake (`<root>/mlflow.db`, files under `<root>/mlflow`), or
in the logs directory for a lake on S3.
"""

import contextlib
import os
import shlex
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from infra import storage
from infra.errors import GristmillError, UsageError
from infra.private import private_file, private_folder
from infra.settings import settings
from infra.storage import public_uri

EXPERIMENT = "gristmill"
SQLITE = "sqlite:///"
LOGIN = Path(__file__).with_name("login.ini")
SERVERS = ("http://", "https://")
URI_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
_one_follows = threading.Lock()


def uri_for(lake_root: str) -> str:
    """The tracking URI for a lake."""
    chosen = settings().mlflow_tracking_uri
    return chosen or f"{SQLITE}{_local_folder(lake_root)}/mlflow.db"


def _local_folder(lake_root: str) -> str:
    if storage.is_local(lake_root):
        folder = storage.local_path(lake_root)
    else:
        return str(private_folder(settings().logs.absolute()))
    os.makedirs(folder, exist_ok=True)
    return folder


def client_for(lake_root: str) -> MlflowClient:
    """The client for a lake, one a process; the database is made where it is missing."""
    return _client(uri_for(lake_root))


@cache
def _client(uri: str) -> MlflowClient:
    path = uri.removeprefix(SQLITE)
    if uri.startswith(SQLITE) and not os.path.exists(path):
        _make_database(path)
    return MlflowClient(uri, uri)


def _make_database(path: str) -> None:
    """MLflow makes its tables one by one; a kill between two of them must not leave a file that
    never opens again, nor may two processes make them at once: linked under its name when whole.
    This user's alone: SQLite fills the empty file that it finds, and gives what it writes beside
    the same mode."""
    temporary = f"{path}.{uuid.uuid4().hex}.tmp"
    private_file(Path(temporary)).close()
    MlflowClient(SQLITE + temporary).search_experiments(max_results=1)
    with contextlib.suppress(FileExistsError):
        os.link(temporary, path)
    os.unlink(temporary)


@contextlib.contextmanager
def followed(lake_root: str) -> Iterator[None]:
    """What MLflow does by the process's own tracking URI goes to this lake within the block.

    Some of its calls have no client to ask. Setting that URI also writes it to the environment,
    where children and the settings would take it for the user's choice, for every other lake too:
    the environment is put back at once. One thread at a time: the URI is the whole process's.
    """
    with _one_follows:
        before = {name: os.environ.get(name) for name in URI_VARIABLES}
        try:
            mlflow.set_tracking_uri(uri_for(lake_root))
            mlflow.set_registry_uri(uri_for(lake_root))
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
        yield


def experiment_of(client: MlflowClient, lake_root: str) -> str:
    """Id of the one experiment that holds all runs, made where it is missing."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        # A server chooses itself where its files are.
        chosen = settings().mlflow_tracking_uri
        place = None if chosen else f"file://{_local_folder(lake_root)}/mlflow"
        with contextlib.suppress(MlflowException):  # somebody else has just made it
            return str(client.create_experiment(EXPERIMENT, place))
        found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        raise GristmillError(
            f"MLflow at {public_uri(uri_for(lake_root))}: the experiment '{EXPERIMENT}' cannot be "
            "made; restore it if deleted"
        )
    return str(found.experiment_id)


@contextlib.contextmanager
def speaking(lake_root: str) -> Iterator[MlflowClient]:
    """The client; what fails within the block is a GristmillError of one line."""
    try:
        yield client_for(lake_root)
    except (MlflowException, OSError) as error:
        # A server's message may repeat its address, with the password in it.
        said = type(error).__name__ if settings().mlflow_tracking_uri else str(error)
        raise GristmillError(
            f"MLflow at {public_uri(uri_for(lake_root))}: {said}; check MLFLOW_TRACKING_URI and "
            "the server"
        ) from None


def warn(lake_root: str, error: Exception) -> None:
    """One line on standard error: MLflow has failed, the training goes on."""
    where = public_uri(uri_for(lake_root))
    sys.stderr.write(
        f"warning: MLflow at {where} failed ({type(error).__name__}); "
        "the training goes on without logging\n"
    )
    sys.stderr.flush()


def has_server(lake_root: str) -> bool:
    """Whether MLflow is a server, rather than a database that this process opens."""
    return uri_for(lake_root).startswith(SERVERS)


def ui_command(lake_root: str, program: str = "gristmill") -> str:
    """How to open the MLflow page on this lake's runs."""
    uri = uri_for(lake_root)
    if has_server(lake_root):
        return f"mlflow server is at {public_uri(uri)}"
    return f"{program} serve mlflow --root {shlex.quote(lake_root)}"


def server(
    lake_root: str, host: str, port: int, known: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Module and arguments of an MLflow server on this lake's runs, and its environment, which
    alone holds passwords. `known`: those of `infra.secrets`.

    Raises UsageError where the runs are on another server.
    """
    uri = uri_for(lake_root)
    if has_server(lake_root):
        raise UsageError(f"MLFLOW_TRACKING_URI: the server is at {public_uri(uri)}; open that")
    environment = {
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_AUTH_CONFIG_PATH": str(LOGIN),
        "MLFLOW_AUTH_ADMIN_USERNAME": known["MLFLOW_TRACKING_USERNAME"],
        "MLFLOW_AUTH_ADMIN_PASSWORD": known["MLFLOW_TRACKING_PASSWORD"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": known["MLFLOW_FLASK_SERVER_SECRET_KEY"],
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"http://{host}:{port}",
    }
    address = ["--host", host, "--port", str(port), "--allowed-hosts", f"{host}:{port}"]
    return ["mlflow", "server", "--app-name", "basic-auth", "--workers", "1", *address], environment


def run_page(lake_root: str, run_id: str) -> str:
    """The URL of a run's page on the tracking server; empty where there is no server."""
    if not run_id or not has_server(lake_root):
        return ""
    with speaking(lake_root) as client:
        page = settings().mlflow_page.rstrip("/") or public_uri(uri_for(lake_root))
        return f"{page}/#/experiments/{client.get_run(run_id).info.experiment_id}/runs/{run_id}"
