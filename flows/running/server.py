"""Prefect's server for one run, where none is configured: on a free port of this machine, with its
database in PREFECT_HOME.

Prefect can start one itself, but that one has no pages and outlives a command that is killed with
-9; this one goes with its parent. `prefect server start` shows the runs afterwards.

    python -m flows.running.server     prints the event `ready` with its `port`, serves until
    SIGTERM
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator

import uvicorn
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_UI_API_URL, temporary_settings

from flows.running.children import code_path, log_file
from infra.process import Child, die_with_parent, emit

SETTINGS = {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
CLOSING_SECONDS = 5.0


@contextlib.contextmanager
def server() -> Iterator[None]:
    """Prefect's API is there inside the block: the configured one, else one of our own. Raises
    GristmillError when it does not start."""
    if PREFECT_API_URL.value():
        yield
        return
    with Child(
        [sys.executable, "-m", "flows.running.server"],
        log_file("prefect"),
        {**SETTINGS, **code_path()},
    ) as child:
        port = next((event["port"] for event in child.events() if event["event"] == "ready"), None)
        if port is None:
            raise child.failure("Prefect's server")
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
            try:
                yield
            finally:
                APILogWorker.drain_all(timeout=CLOSING_SECONDS)
                EventsWorker.drain_all(timeout=CLOSING_SECONDS)
                child.stop(CLOSING_SECONDS)


async def serve() -> None:
    """Serve Prefect's API on a free port until a signal comes."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    from prefect.server.api.server import create_app

    with temporary_settings({PREFECT_UI_API_URL: f"http://127.0.0.1:{port}/api"}):
        serving = uvicorn.Server(uvicorn.Config(create_app(), lifespan="on", log_level="error"))
        task = asyncio.create_task(serving.serve([listening]))
        while not serving.started and not task.done():
            await asyncio.sleep(0.05)
        if serving.started:
            emit("ready", port=port)
            os.dup2(2, 1)  # the owner has stopped reading
        await task


if __name__ == "__main__":
    die_with_parent()
    asyncio.run(serve())
