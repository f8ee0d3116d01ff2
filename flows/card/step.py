"""The step `report`, declared without importing what runs the gate and draws the card
(`flows.card.write`)."""

from infra.parameters import option, parameters
from infra.step import Launch, Rate, Step


@parameters
class ReportParameters:
    """The report card and the gate."""

    title: str = option("", "heading of the card; empty: the artifacts' name")
    registered_model: str = option("gristmill", "name in MLflow's model registry", min_length=1)
    rejected_samples: int = option(3, "rejected rows shown of each reason", unit="rows", ge=0)


REPORT = Step(
    name="report",
    kind="report",
    version=1,
    help="The report card; registers the model and moves `champion` on a measured win.",
    parameters=ReportParameters,
    reads=("scores", "models"),
    module="flows.card.write",
    launch=Launch.HERE,
    rate=Rate(5.0, "run"),
    files={"report.html": "the report card, one self-contained page"},
    details={
        "report": "the page's file",
        "val_bits_per_byte": "what the model scored",
        "champion": "whether it became the champion",
        "registered_model": "its name in MLflow's registry",
        "model_version": "its version there",
        "funnel": "rows in, out and rejected, and bytes, of each step",
    },
)
