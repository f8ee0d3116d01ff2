"""Prefect's server for one run, where none is configured: on a free port of this machine, with its
database in PREFECT_HOME.

Prefect can start one itself, but that one has no pages and outlives a command that is killed with
-9; this one goes with its parent. It answers only to the run's own random password, to no other
name than 127.0.0.1, and gives no page of another origin leave to read. `gristmill serve prefect`
shows the runs afterwards.

    python -m flows.running.server     prints the event `ready` with its `port`, serves until
    SIGTERM
"""

import asyncio
import contextlib
import os
import socket
import sys

import uvicorn
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_SERVER_CORS_ALLOWED_ORIGINS,
    PREFECT_UI_API_URL,
    temporary_settings,
)
from starlette.middleware.trustedhost import TrustedHostMiddleware

from flows.running.children import code_path, log_file
from infra import secrets
from infra.process import Child, die_with_parent, emit

HOST = "127.0.0.1"
PASSWORDS = ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING")
SETTINGS = {
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}
CLOSING_SECONDS = 5.0


class RunServer(contextlib.ExitStack):
    """Prefect's server of one run, as a context manager around the run. It begins to start where
    the block begins, unless one is configured; `ready` waits for it, so that other work goes on
    meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._password = secrets.of_one_run()
        self._child: Child | None = None

    def __enter__(self) -> "RunServer":
        super().__enter__()
        if not PREFECT_API_URL.value():
            given = dict.fromkeys(PASSWORDS, self._password)
            command = [sys.executable, "-m", "flows.running.server"]
            child = Child(command, log_file("prefect"), {**SETTINGS, **code_path(), **given})
            self._child = self.enter_context(child)
        return self

    def ready(self) -> None:
        """From here to the end of the block Prefect's API is there: the configured one, else this
        one. Raises GristmillError when it does not start."""
        child = self._child
        if child is None:
            return
        port = next((event["port"] for event in child.events() if event["event"] == "ready"), None)
        if port is None:
            raise child.failure("Prefect's server")
        url = f"http://{HOST}:{port}/api"
        ours = {PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: self._password}
        self.callback(child.stop, CLOSING_SECONDS)
        self.enter_context(temporary_settings(ours))
        self.callback(EventsWorker.drain_all, timeout=CLOSING_SECONDS)
        self.callback(APILogWorker.drain_all, timeout=CLOSING_SECONDS)


async def serve() -> None:
    """Serve Prefect's API on a free port until a signal comes."""
    listening = socket.create_server((HOST, 0))
    port = listening.getsockname()[1]
    from prefect.server.api.server import create_app

    page = f"http://{HOST}:{port}"
    with temporary_settings(
        {PREFECT_UI_API_URL: f"{page}/api", PREFECT_SERVER_CORS_ALLOWED_ORIGINS: page}
    ):
        app = TrustedHostMiddleware(create_app(), allowed_hosts=[HOST])
        serving = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_level="error"))
        task = asyncio.create_task(serving.serve([listening]))
        while not serving.started and not task.done():
            await asyncio.sleep(0.05)
        if serving.started:
            emit("ready", port=port)
            os.dup2(2, 1)  # the owner has stopped reading
        await task


if __name__ == "__main__":
    die_with_parent()
    os.umask(0o077)
    asyncio.run(serve())
