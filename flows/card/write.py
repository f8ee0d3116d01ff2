"""The step `report`: register the exported model, let the gate decide, write the card.

In: the artifacts `scores` and `models`; everything else is found through the digests in their
manifests, and in MLflow.
Out: `report.html`, one self-contained page (no scripts, no requests), and in the manifest's details
the verdict and the funnel; the page is an artifact of the training's MLflow run, too. Every number
comes from a manifest or from MLflow.
"""

import json
from pathlib import Path
from typing import Any

import jinja2

from flows.card.figures import FILTERS, data_uri, loss_curve
from flows.card.funnel import funnel
from flows.card.gate import gate
from flows.card.rejected import rejected_samples
from flows.chain.steps import STEPS, place
from infra import storage, tracking
from infra.lake import Artifact
from infra.manifest import SHORT, Counts, Manifest
from infra.step import Task

PAGE = "report.html"


def run(task: Task) -> Manifest:
    """Run the gate, write the page, commit. Raises GristmillError when an input is not finished."""
    with task.lake.begin(task.identity, task.name) as writer:
        card = collect(task, gate(task, task.inputs["scores"].require()))
        page, verdict = render(card), card["verdict"]
        storage.write_bytes(writer.file(PAGE), page.encode())
        if verdict["run_id"]:
            tracking.log_page(task.lake.root, verdict["run_id"], PAGE, page)
        details = {
            "report": PAGE,
            "val_bits_per_byte": card["scores"]["val_bits_per_byte"],
            "champion": verdict["champion"],
            "registered_model": verdict["model"],
            "model_version": verdict["version"],
            "funnel": [
                {
                    "step": stage.step,
                    "rows_in": stage.rows_in,
                    "rows_out": stage.rows_out,
                    "rejected": stage.rejected,
                    "bytes_in": stage.bytes_in,
                    "bytes_read": stage.bytes_read,
                    "bytes": stage.bytes,
                }
                for stage in card["funnel"].stages
            ],
        }
        return writer.commit(
            Counts(rows_in=1, rows_out=1), details=details, mlflow_run_id=verdict["run_id"]
        )


def collect(task: Task, verdict: dict[str, Any]) -> dict[str, Any]:
    """Everything that the page shows."""
    found = task.lake.ancestors(task.inputs["scores"], task.inputs["models"])
    made = sorted(
        ((artifact, artifact.known()) for artifact in found),
        key=lambda each: (place(each[1].step), each[1].started_at),
    )
    last = {artifact.kind: manifest for artifact, manifest in made}
    training = last["checkpoints"].details
    stages = [each for each in made if STEPS[each[1].step].funnel]
    curve = loss_curve(training.get("curve", []))
    return {
        "title": task.parameters.title or task.name,
        "lake": task.lake.root,
        "verdict": verdict,
        "scores": last["scores"].details,
        "training": training,
        "tokens": last["tokens"].details if "tokens" in last else {},
        "funnel": funnel([(manifest.step, manifest) for _, manifest in stages]),
        "rejected": [
            rejected_samples(artifact, manifest, task.parameters.rejected_samples)
            for artifact, manifest in stages
        ],
        "curve": data_uri(curve) if curve else "",
        "samples": json.loads(storage.read_bytes(task.inputs["scores"].file("samples.json"))),
        "steps": [step_of(artifact, manifest) for artifact, manifest in made],
        "seconds": sum(manifest.seconds for _, manifest in made),
        "cpu_seconds": sum(manifest.cpu_seconds for _, manifest in made),
        "checkpoint": last["checkpoints"].digest[:SHORT],
        "mlflow": tracking.ui_command(task.lake.root),
    }


def step_of(artifact: Artifact, manifest: Manifest) -> dict[str, Any]:
    """A row of the table of steps; its rate is rows a second, for training tokens seen a second."""
    trained = manifest.details.get("tokens_seen")
    done = manifest.counts.rows_in if trained is None else trained
    return {
        "manifest": manifest,
        "uri": artifact.uri,
        "rate": done / manifest.seconds if manifest.seconds and done > 1 else None,
        "unit": "rows" if trained is None else "tokens",
        "stored_bytes": sum(entry.size_bytes for entry in manifest.files),
        "runs": {
            "flow run": manifest.flow_run_id,
            "Spark application": manifest.spark_application_id,
            "MLflow run": manifest.mlflow_run_id,
        },
    }


def render(card: dict[str, Any]) -> str:
    """The page; everything that is not the template's own is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment.get_template("template.html.j2").render(card)
