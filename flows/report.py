"""Flow: the report card and the gate. The model is registered; `champion` moves only on a measured win."""

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.chain import chain
from flows.parameters import PipelineParameters
from flows.running import only, run_chain


@flow(name="report", flow_run_name="report {parameters.name}")
def report(parameters: PipelineParameters) -> dict[str, str]:
    """Write the report card of the run that the parameters lead to (`evaluate` makes its scores)."""
    (outcome,) = run_chain(only(chain(parameters), "report"))
    card = outcome.task.artifact.file("report.html")
    create_markdown_artifact(key="report-card", markdown=f"Report card: `{card}`", description="Where the report card is")
    return {"report": card}
