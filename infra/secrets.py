"""The secrets of the servers on this machine: made at random once, in one file that only its user
can read.

The file (GRISTMILL_SECRETS) holds environment variables, a `NAME=value` a line: a shell can source
it, `docker compose --env-file` can read it. A server of a single run takes a secret of its own.
Secrets go to other processes through the environment, never on a command line, and into no log.
"""

import contextlib
import os
import secrets
import uuid
from pathlib import Path

from infra.errors import UsageError
from infra.private import OTHERS, private_file, private_folder
from infra.settings import settings

USER = "gristmill"
NAMES = (
    "PREFECT_API_AUTH_STRING",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "POSTGRES_PASSWORD",
)
MLFLOW_USERS = "mlflow-users.db"
"""MLflow's own database of users beside the file, made with the password of then."""
SECRET_BYTES = 32


def of_user() -> dict[str, str]:
    """Variable -> value, from the user's file, which is made where it is missing.

    Raises UsageError where others may read it or a variable is missing.
    """
    path = where()
    if not path.exists():
        _make(path)
    if path.stat().st_mode & OTHERS:
        raise UsageError(f"{path}: others may read it; chmod 600, or remove it to get a new one")
    lines = [line.partition("=") for line in path.read_text().splitlines()]
    found = {name: value for name, sign, value in lines if sign and not name.startswith("#")}
    if missing := [name for name in NAMES if not found.get(name)]:
        raise UsageError(
            f"{path}: has no {missing[0]}; add it, or remove the file to get a new one"
        )
    return found


def where() -> Path:
    """The user's file."""
    return settings().secrets.expanduser().absolute()


def of_one_run() -> str:
    """A user and a password, as Prefect's server asks for them."""
    return f"{USER}:{secrets.token_urlsafe(SECRET_BYTES)}"


def _make(path: Path) -> None:
    """Write the file whole, for this user alone; of two that do so at once one wins."""
    made = {name: secrets.token_urlsafe(SECRET_BYTES) for name in NAMES}
    made |= {"PREFECT_API_AUTH_STRING": of_one_run(), "MLFLOW_TRACKING_USERNAME": USER}
    private_folder(path.parent)
    path.with_name(MLFLOW_USERS).unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with private_file(temporary) as stream:
        stream.write(b"# Gristmill's servers and whoever calls them. Remove it to get new ones.\n")
        stream.writelines(f"{name}={value}\n".encode() for name, value in made.items())
    with contextlib.suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()
