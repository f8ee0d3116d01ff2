"""`gristmill serve`: Prefect's or MLflow's server on this machine, closed to whoever has not the
password; `gristmill secrets`: where the passwords are.

Both listen on loopback, answer 401 without the password of the user's own file (`infra.secrets`),
and give pages of other origins no leave to call them. The command becomes the server: it ends with
Ctrl-C, and what it writes only this user can read.
"""

import sys
from typing import Annotated

import typer

from flows.command.said import LAKE, Root
from flows.serving.pages import HOST, PORTS, Server, prefect_server
from infra import secrets
from infra.lake import Lake
from infra.process import become


def serve(
    server: Annotated[Server, typer.Argument(help="Whose pages")],
    root: Root = None,
    port: Annotated[
        int | None, typer.Option(help="Port", show_default="4200, 5000", min=1, max=65535)
    ] = None,
) -> None:
    """Prefect's pages on all runs, or MLflow's on this lake; both ask for a password."""
    port, lake_root, known = port or PORTS[server], Lake.at(root or LAKE).root, secrets.of_user()
    if server is Server.PREFECT:
        asked = "log in with PREFECT_API_AUTH_STRING"
        command, environment = prefect_server(port, known)
    else:
        from infra import tracking  # MLflow takes seconds to import

        asked = f"log in as {secrets.USER} with MLFLOW_TRACKING_PASSWORD"
        command, environment = tracking.server(lake_root, HOST, port, known)
    typer.echo(f"http://{HOST}:{port}   {asked} of {secrets.where()}")
    become([sys.executable, "-m", *command], environment, secrets.where().parent)


def where_secrets_are() -> None:
    """The file of the servers' passwords, made if it is missing: to source, or for --env-file."""
    secrets.of_user()
    typer.echo(secrets.where())
