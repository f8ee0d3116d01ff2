"""Run the pipeline flow in this process, with a server of its own where none is configured.

Prefect takes seconds to import and its server seconds to start: nothing of it is imported before it
is needed, and the server starts beside other work.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.theme import Theme

from flows.chain.parameters import PipelineParameters
from flows.command.bars import bar
from flows.running.pace import Pace, watched_by
from infra.errors import GristmillError
from infra.failures import failure_in

if TYPE_CHECKING:
    from flows.running.server import RunServer


def run_server() -> "RunServer":
    """The server of a run, for a `with` around it; it begins to start there."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from flows.running.server import RunServer

    return RunServer()


def run_flow(parameters: PipelineParameters, server: "RunServer", *, quiet: bool) -> None:
    """Run the flow to its end. Raises GristmillError (one line) when a step failed."""
    from flows.pipeline import pipeline

    server.ready()
    with contextlib.nullcontext() if quiet else bar_below_the_log():
        state = pipeline(parameters, return_state=True)
    if state.is_completed():
        return
    try:
        state.result()
    except GristmillError:
        raise
    except Exception as error:
        raise failure_in("pipeline", error) from None
    raise GristmillError(f"pipeline: ended as {state.name}: {state.message}")


@contextlib.contextmanager
def bar_below_the_log() -> Iterator[None]:
    """A bar below Prefect's lines where those go to a terminal; what it shows is then no line."""
    from prefect.logging.handlers import PrefectConsoleHandler

    from flows.running.step_task import PROGRESS

    shown = [
        each for each in logging.getLogger().handlers if isinstance(each, PrefectConsoleHandler)
    ]
    if not shown or not shown[0].console.is_terminal:
        yield
        return
    handler = shown[0]

    def kept(record: logging.LogRecord) -> bool:
        return not hasattr(record, PROGRESS)

    handler.addFilter(kept)
    try:
        with (
            handler.console.use_theme(Theme()),  # Prefect's own has no styles of bars
            bar(Pace(), handler.console) as follow,
            watched_by(follow),
        ):
            yield
    finally:
        handler.removeFilter(kept)
