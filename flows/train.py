"""Flow: tokens to checkpoints."""

from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.card.figures import data_uri, loss_curve
from flows.chain.chain import chain
from flows.chain.parameters import PipelineParameters
from flows.running.tasks import make_all, only
from infra import tracking


@flow(name="train", flow_run_name="train {parameters.name}")
def train(parameters: PipelineParameters) -> dict[str, str]:
    """Train on the tokens that the parameters lead to; they must be there (`ingest` makes them)."""
    (outcome,) = make_all(only(chain(parameters, "train"), "train"))
    create_markdown_artifact(
        key="loss",
        markdown=loss_page(outcome.manifest.details),
        description="Loss over steps",
    )
    page = tracking.run_page(outcome.task.lake.root, outcome.manifest.mlflow_run_id)
    if page:
        create_link_artifact(
            link=page,
            link_text="MLflow run",
            key="mlflow-run",
            description="Metrics and checkpoints in MLflow",
        )
    return {"checkpoints": outcome.task.artifact.uri}


def loss_page(details: dict[str, Any]) -> str:
    """The report card's loss curve and the last numbers, as Markdown."""
    curve = loss_curve(details["curve"])
    picture = f"![training and validation loss]({data_uri(curve)})\n\n" if curve else ""
    return (
        f"{picture}validation loss {details['val_loss']:.4f},"
        f" {details['val_bits_per_byte']:.4f} bits per byte after {details['steps']} steps"
    )
