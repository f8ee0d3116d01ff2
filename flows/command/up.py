"""`gristmill up`, `down`, `status`: Prefect's and MLflow's pages on this machine, and a worker that
makes what is scheduled or started from the page."""

import os
import signal
import socket
import sys
import time
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.command import console
from flows.command.said import LAKE, Json, Root
from flows.running.children import log_file
from flows.serving import state as up_state
from flows.serving.pages import HOST, PORTS, Server
from flows.serving.state import State
from infra import secrets
from infra.errors import GristmillError, UsageError
from infra.lake import Lake
from infra.process import detached

app = typer.Typer()
LOOK_SECONDS = 0.2
DOWN_SECONDS = 180.0
STYLES = {"ready": "green", "failed": "red"}


@app.command()
def up(
    root: Root = None,
    prefect_port: Annotated[
        int, typer.Option(help="Port of Prefect's page", min=1, max=65535)
    ] = PORTS[Server.PREFECT],
    mlflow_port: Annotated[
        int, typer.Option(help="Port of MLflow's page", min=1, max=65535)
    ] = PORTS[Server.MLFLOW],
    json: Json = False,
) -> None:
    """Prefect's server, MLflow's, the deployments and a worker, until `gristmill down`."""
    lake_root = Lake.at(root or LAKE).root
    found = up_state.read()
    if found is not None and found.root != lake_root:
        raise UsageError(f"up for {found.root} already; `gristmill down` ends that")
    secrets.of_user()
    if found is None:
        up_state.end_leftovers()
        for name, port in (("prefect", prefect_port), ("mlflow", mlflow_port)):
            require_free(name, port)
        arguments = [lake_root, str(prefect_port), str(mlflow_port)]
        log = log_file("up").absolute()
        pid = detached([sys.executable, "-m", "flows.serving.services", *arguments], log)
        found = ready(pid, f"log: {log}", json)
    else:
        found = ready(found.pid, "", json)
    show(found, json)
    if not json:
        console.text(f"log in with the passwords of {secrets.where()}; `gristmill down` ends all")


def require_free(name: str, port: int) -> None:
    """Raises UsageError where somebody listens on the port."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise UsageError(
            f"port {port}: {os.strerror(error.errno or 0)}; give another with --{name}-port"
        ) from None


def ready(pid: int, log: str, quiet: bool) -> State:
    """The state once all services are ready; tells of each. Raises GristmillError where one fails,
    after all are stopped."""
    told: dict[str, str] = {}
    while True:
        found = up_state.read()
        if found is not None and found.pid == pid:
            for each in found.services:
                if told.get(each.name) != each.stage and each.stage != "waits":
                    told[each.name] = each.stage
                    if not quiet:
                        console.text(f"{each.name:8} {each.stage}")
            if found.stage == "ready":
                return found
            if found.stage == "failed":
                failed = next(each for each in found.services if each.stage == "failed")
                end(found)
                raise GristmillError(failed.detail)
        elif not up_state.alive(pid):
            raise GristmillError(f"up: the supervisor ended ({log})")
        time.sleep(LOOK_SECONDS)


@app.command()
def status(json: Json = False) -> None:
    """What `gristmill up` has brought up; exit code 1 where not all of it is ready."""
    found = up_state.read()
    if found is None:
        if json:
            console.one_object({"services": []})
        else:
            console.text("nothing is up; `gristmill up` brings it up")
        raise typer.Exit(1)
    show(found, json)
    if found.stage != "ready":
        raise typer.Exit(1)


def show(found: State, as_json: bool) -> None:
    """A line a service."""
    if as_json:
        console.one_object({"root": found.root, "services": [vars(s) for s in found.services]})
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("service", "", "page", "starts", ""):
        table.add_column(heading, overflow="fold")
    for each in found.services:
        style = STYLES.get(each.stage, "yellow")
        stage = f"[{style}]{each.stage}[/]"
        table.add_row(each.name, stage, each.url, str(each.starts), escape(each.detail))
    console.out.print(table)


@app.command()
def down() -> None:
    """End all that `gristmill up` has brought up; runs at work save what they can."""
    found = up_state.read()
    if found is None:
        left = up_state.end_leftovers()
        console.text(f"nothing is up{f'; {left} processes were left and are ended' * bool(left)}")
        return
    end(found)
    console.text("down")


def end(found: State) -> None:
    """Stop the supervisor and wait for it. Raises GristmillError where it does not end."""
    os.kill(found.pid, signal.SIGTERM)
    if not up_state.wait_for_end(found, DOWN_SECONDS):
        raise GristmillError(f"down: process {found.pid} does not end; its log tells more")
