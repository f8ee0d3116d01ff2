"""Run the pipeline flow in this process, with a server of its own where none is configured."""

import os

from flows.chain.parameters import PipelineParameters
from infra.errors import GristmillError
from infra.failures import failure_in


def run_flow(parameters: PipelineParameters) -> None:
    """Run the flow to its end. Raises GristmillError (one line) when a step failed."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from flows.pipeline import pipeline
    from flows.running.server import server

    with server():
        state = pipeline(parameters, return_state=True)
        if not state.is_completed():
            try:
                state.result()
            except GristmillError:
                raise
            except Exception as error:
                raise failure_in("pipeline", error) from None
            raise GristmillError(f"pipeline: ended as {state.name}: {state.message}")
