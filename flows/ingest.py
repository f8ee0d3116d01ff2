"""Flow: raw crawl to tokens. One Spark driver serves all its steps."""

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.chain.chain import chain
from flows.chain.parameters import PipelineParameters
from flows.running.children import Outcome
from flows.running.whole import run_chain


@flow(name="ingest", flow_run_name="ingest {parameters.name}")
def ingest(parameters: PipelineParameters) -> dict[str, str]:
    """Extract, filter, deduplicate, train the tokenizer, tokenize. Returns kind -> artifact folder."""
    outcomes = run_chain(chain(parameters, "tokenize"))
    create_table_artifact(
        table=funnel(outcomes),
        key="funnel",
        description="Documents in and out of each step, and why rows were rejected",
    )
    return {o.manifest.kind: o.task.artifact.uri for o in outcomes}


def funnel(outcomes: list[Outcome]) -> list[dict[str, str | int]]:
    """A row a step: rows in, out, rejected, and the reasons, most frequent first."""
    return [
        {
            "step": o.task.step.name,
            "rows in": o.manifest.counts.rows_in,
            "rows out": o.manifest.counts.rows_out,
            "rejected": sum(o.manifest.counts.rejected.values()),
            "reasons": ", ".join(
                f"{k} {v}"
                for k, v in sorted(o.manifest.counts.rejected.items(), key=lambda kv: -kv[1])
            ),
            "seconds": round(o.manifest.seconds),
        }
        for o in outcomes
    ]
