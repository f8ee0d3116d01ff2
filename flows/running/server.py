"""Prefect's server for one run, where none is configured: on a free port of this machine, with its
database in PREFECT_HOME.

Prefect can start one itself, but that one has no pages and outlives a command that is killed with
-9; this one goes with its parent. It answers only to the run's own random password, to no other
name than 127.0.0.1, and gives no page of another origin leave to read. `gristmill serve prefect`
shows the runs afterwards.

    python -m flows.running.server FILE     serves on the socket with that file number until
    SIGTERM; prints the event `ready`
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
import threading

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
from flows.serving.pages import HOST, PREFECT_PASSWORDS
from infra import secrets
from infra.owner import die_with_parent
from infra.private import OTHERS
from infra.process import Child, emit

LOG = logging.getLogger("prefect.gristmill")
"""Prefect shows what its own loggers say."""
SETTINGS = {
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}
CLOSING_SECONDS = 5.0
STARTS = 5
"""So many servers take over in one run."""


class RunServer(contextlib.ExitStack):
    """Prefect's server of one run, as a context manager around the run. It begins to start where
    the block begins, unless one is configured; `ready` waits for it, so that other work goes on
    meanwhile.

    Where it ends before the run does, another one takes its place: this process holds the socket,
    so that calls wait in its queue for the seconds that the start takes; those that were cut are
    made again by Prefect's client. After STARTS the socket closes, and calls fail at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._password = secrets.of_one_run()
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._ending = False

    def __enter__(self) -> "RunServer":
        super().__enter__()
        if not PREFECT_API_URL.value():
            self._socket = self.enter_context(socket.create_server((HOST, 0)))
            self._child = self._started()
            self.callback(self._end)
        return self

    @property
    def is_own(self) -> bool:
        """Whether it serves this run alone."""
        return self._child is not None

    def ready(self) -> None:
        """From here to the end of the block Prefect's API is there: the configured one, else this
        one. Raises GristmillError when it does not start."""
        child = self._child
        if child is None:
            return
        if not any(event["event"] == "ready" for event in child.events()):
            raise child.failure("Prefect's server")
        threading.Thread(target=self._replace, args=[child], daemon=True).start()
        url = f"http://{HOST}:{self._socket.getsockname()[1]}/api"
        ours = {PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: self._password}
        self.enter_context(temporary_settings(ours))
        self.callback(EventsWorker.drain_all, timeout=CLOSING_SECONDS)
        self.callback(APILogWorker.drain_all, timeout=CLOSING_SECONDS)

    def _started(self) -> Child:
        listening = self._socket.fileno()
        given = {**SETTINGS, **code_path(), **dict.fromkeys(PREFECT_PASSWORDS, self._password)}
        command = [sys.executable, "-m", "flows.running.server", str(listening)]
        return Child(command, log_file("prefect"), given, [listening])

    def _replace(self, child: Child) -> None:
        """Start another one whenever the one that serves has ended; in a thread of its own."""
        for _ in range(STARTS):
            child.wait()
            with self._lock:
                if self._ending:
                    return
                LOG.warning("Prefect's server ended before the run did; another one takes over")
                child.__exit__(None, None, None)
                child = self._child = self._started()
        child.wait()
        self._socket.close()

    def _end(self) -> None:
        with self._lock:
            self._ending = True
        assert self._child is not None
        self._child.stop(CLOSING_SECONDS)
        self._child.__exit__(None, None, None)


async def serve(number: int) -> None:
    """Serve Prefect's API on a listening socket, an open file of this number, until a signal
    comes."""
    listening = socket.socket(fileno=number)
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
            emit("ready")
            os.dup2(2, 1)  # the owner has stopped reading
        await task


if __name__ == "__main__":
    die_with_parent()
    os.umask(OTHERS)
    asyncio.run(serve(int(sys.argv[1])))
