"""Run the pipeline flow in this process, with a server of its own where none is configured.

Prefect takes seconds to import and its server seconds to start: nothing of it is imported before it
is needed, and the server starts beside other work.
"""

import os
from typing import TYPE_CHECKING

from flows.chain.parameters import PipelineParameters
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


def run_flow(parameters: PipelineParameters, server: "RunServer") -> None:
    """Run the flow to its end. Raises GristmillError (one line) when a step failed."""
    from flows.pipeline import pipeline

    server.ready()
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
