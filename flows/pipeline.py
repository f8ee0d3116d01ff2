"""Flow: the whole way, raw crawl to registered model."""

from contextlib import ExitStack

from prefect import flow
from prefect.logging import get_run_logger

from flows.chain.bound import bound
from flows.chain.parameters import PipelineParameters
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.report import report
from flows.running.pace import Pace, Teller, crawl_files
from flows.train import train


@flow(name="pipeline", flow_run_name="pipeline {parameters.name}")
def pipeline(parameters: PipelineParameters) -> dict[str, str]:
    """Ingest, train, evaluate, report: kind -> artifact folder; every step that is there already is
    skipped."""
    pace = Pace()
    with ExitStack() as held:
        with Teller(pace, get_run_logger().info), crawl_files(pace.take):
            held.enter_context(bound(parameters.root, parameters.input))
        return {
            **ingest(parameters),
            **train(parameters),
            **evaluate(parameters),
            **report(parameters),
        }
