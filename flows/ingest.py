"""Flow: raw crawl to tokens. One Spark driver serves all its steps."""

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.card.funnel import funnel
from flows.chain.chain import chain
from flows.chain.parameters import PipelineParameters
from flows.running.children import Outcome
from flows.running.tasks import make_all


@flow(name="ingest", flow_run_name="ingest {parameters.name}")
def ingest(parameters: PipelineParameters) -> dict[str, str]:
    """Extract, filter, deduplicate, train the tokenizer, tokenize: kind -> artifact folder."""
    outcomes = make_all(chain(parameters, "tokenize"))
    create_table_artifact(
        table=funnel_table(outcomes),
        key="funnel",
        description="Documents in and out of each step, and why rows were rejected",
    )
    return {o.manifest.kind: o.task.artifact.uri for o in outcomes}


def funnel_table(outcomes: list[Outcome]) -> list[dict[str, str | int]]:
    """A row a step: rows in, out, rejected, and the reasons, most frequent first."""
    stages = funnel([(o.task.step.name, o.manifest) for o in outcomes]).stages
    return [
        {
            "step": stage.step,
            "rows in": stage.rows_in,
            "rows out": stage.rows_out,
            "rejected": stage.rejected,
            "reasons": ", ".join(f"{reason} {rows}" for reason, rows in stage.reasons),
            "seconds": round(o.manifest.seconds),
        }
        for stage, o in zip(stages, outcomes)
    ]
