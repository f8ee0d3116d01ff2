"""Flow: tokens to checkpoints."""

import base64
import io

from matplotlib.figure import Figure
from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.chain.chain import chain
from flows.chain.parameters import PipelineParameters
from flows.running.whole import only, run_chain
from infra import tracking


@flow(name="train", flow_run_name="train {parameters.name}")
def train(parameters: PipelineParameters) -> dict[str, str]:
    """Train on the tokens that the parameters lead to; they must be there (`ingest` makes them)."""
    (outcome,) = run_chain(only(chain(parameters, "train"), "train"))
    details = outcome.manifest.details
    create_markdown_artifact(
        key="loss",
        markdown=f"![training and validation loss]({loss_plot(details['curve'])})\n\nvalidation loss {details['val_loss']:.4f},"
        f" {details['val_bits_per_byte']:.4f} bits per byte after {details['steps']} steps",
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


def loss_plot(curve: list[tuple[int, float, float | None]]) -> str:
    """The curve of (step, training loss, validation loss or None) as a PNG in a data URI."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        [step for step, _, _ in curve], [train for _, train, _ in curve], label="train", linewidth=1
    )
    validated = [(step, val) for step, _, val in curve if val is not None]
    axes.plot(
        [step for step, _ in validated],
        [val for _, val in validated],
        label="validation",
        marker="o",
        markersize=3,
    )
    axes.set_xlabel("step")
    axes.set_ylabel("loss [nats per token]")
    axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
