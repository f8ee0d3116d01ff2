"""Flow: the report card and the gate. The model is registered; `champion` moves only on a measured
win."""

from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.chain.chain import chain
from flows.chain.parameters import PipelineParameters
from flows.reference.markdown import code
from flows.running.tasks import make_all, only


@flow(name="report", flow_run_name="report {parameters.name}")
def report(parameters: PipelineParameters) -> dict[str, str]:
    """Write the report card of the run that the parameters lead to (`evaluate` makes its
    scores)."""
    (outcome,) = make_all(only(chain(parameters), "report"))
    card = outcome.task.artifact.file("report.html")
    create_markdown_artifact(
        key="report-card",
        markdown=verdict(outcome.manifest.details, card),
        description="The verdict of the gate",
    )
    return {"report": card}


def verdict(details: dict[str, Any], card: str) -> str:
    """What the gate decided, and where the card is, as Markdown."""
    model = f"{code(details['registered_model'])} version {details['model_version']}"
    place = "is the **champion**" if details["champion"] else "does not beat the champion"
    score = f"{details['val_bits_per_byte']:.4f} bits per byte on the validation split"
    return f"{model} {place} with {score}.\n\nReport card: {code(card)}"
