"""Flow: checkpoints to scores and an exported model."""

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.chain.chain import chain
from flows.chain.parameters import PipelineParameters
from flows.running.tasks import make_all, only


@flow(name="evaluate", flow_run_name="evaluate {parameters.name}")
def evaluate(parameters: PipelineParameters) -> dict[str, str]:
    """Score the checkpoint that the parameters lead to (`train` makes it) and export it for other
    tools."""
    scores, models = make_all(only(chain(parameters), "evaluate", "export"))
    table = [
        {"score": k, "value": v}
        for k, v in scores.manifest.details.items()
        if isinstance(v, int | float)
    ]
    create_table_artifact(table=table, key="scores", description="Scores on the validation split")
    return {"scores": scores.task.artifact.uri, "models": models.task.artifact.uri}
