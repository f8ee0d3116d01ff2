"""Run the pipeline flow in this process, with a server of its own where none is configured.

Prefect takes seconds to import and its server seconds to start: nothing of it is imported before it
is needed, and the server starts beside other work.
"""

import contextlib
import logging
import os
import sys
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
    with lines_of_prefect(quiet, server.is_own):
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
def lines_of_prefect(quiet: bool, own_server: bool) -> Iterator[None]:
    """Prefect's lines, on standard output, below them a bar where that is a terminal; nothing with
    `quiet`. What the bar shows is then no line; nor are a failure, which the command itself says in
    one line, and the address of a page that the run's own server does not have."""
    from prefect.logging.handlers import PrefectConsoleHandler

    from flows.running.step_task import PROGRESS

    handlers = logging.getLogger().handlers
    handler = next((each for each in handlers if isinstance(each, PrefectConsoleHandler)), None)
    if handler is None:  # the user's own logging configuration
        yield
        return
    console = handler.console
    console.file = sys.stdout
    has_bar = console.is_terminal and not quiet

    def kept(record: logging.LogRecord) -> bool:
        shown_by_bar = has_bar and hasattr(record, PROGRESS)
        no_page = own_server and record.getMessage().startswith("View at ")
        return not (quiet or shown_by_bar or no_page or record.levelno >= logging.ERROR)

    handler.addFilter(kept)
    try:
        with contextlib.ExitStack() as held:
            if has_bar:
                held.enter_context(console.use_theme(Theme()))  # Prefect's has no styles of bars
                held.enter_context(watched_by(held.enter_context(bar(Pace(), console))))
            yield
    finally:
        handler.removeFilter(kept)
