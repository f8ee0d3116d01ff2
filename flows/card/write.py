"""The step `report`: register the exported model, let the gate decide about the champion, write the card.

In: the artifacts `scores` and `models`; everything else is found through the digests in their manifests, and in MLflow.
Out: `report.html`, one self-contained page (no scripts, no requests), and in the manifest's details the verdict and the funnel.
Every number comes from a manifest or from MLflow; sampled rejected rows are the first of each reason in the order of the files,
which is the order of their content's hash.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pyarrow.parquet as pq

from flows.card.figures import FILTERS, line_plot
from flows.card.gate import gate
from infra import storage, tracking
from infra.lake import KINDS, Artifact
from infra.manifest import SHORT, Counts, Manifest
from infra.step import Task

FUNNEL = ("documents", "clean", "dedup", "tokens")
EXCERPT_CHARACTERS = 160
SAMPLE_CHARACTERS = 1200


@dataclass(frozen=True)
class Made:
    """An artifact with its manifest."""

    artifact: Artifact
    manifest: Manifest

    @property
    def stored_bytes(self) -> int:
        """Size of the result's files."""
        return sum(entry.size_bytes for entry in self.manifest.data_files())

    def counted(self, name: str) -> int | None:
        """A number of bytes that the step counted, None where it did not: `bytes_in` of its files, `bytes_text` of UTF-8 kept."""
        splits = self.manifest.details.get("splits")
        if splits and name == "bytes_text":
            return sum(split["bytes"] for split in splits.values())
        return {**self.manifest.details, **self.manifest.counts.extra}.get(name)


def write_report(task: Task) -> Manifest:
    """Run the gate, write the page, commit. Raises GristmillError when an input is not finished."""
    writer = task.lake.begin(task.identity, task.name)
    card = collect(task, gate(task, task.inputs["scores"].require()))
    storage.write_bytes(writer.file("report.html"), render(card).encode())
    verdict, funnel = card["verdict"], card["funnel"]
    details = {
        "report": "report.html",
        "val_bits_per_byte": card["scores"]["val_bits_per_byte"],
        "champion": verdict["champion"],
        "registered_model": verdict["model"],
        "model_version": verdict["version"],
        "funnel": [
            {key: stage[key] for key in ("step", "rows_in", "rows_out", "rejected", "bytes")}
            for stage in funnel["stages"]
        ],
    }
    return writer.commit(
        Counts(rows_in=1, rows_out=1), details=details, mlflow_run_id=verdict["run_id"]
    )


def collect(task: Task, verdict: dict[str, Any]) -> dict[str, Any]:
    """Everything the page shows, as plain data."""
    found = [
        Made(a, a.require())
        for a in task.lake.ancestors(task.inputs["scores"], task.inputs["models"])
    ]
    made = sorted(found, key=lambda m: (KINDS.index(m.artifact.kind), m.manifest.started_at))
    last = {m.artifact.kind: m.manifest for m in made}
    training, scores = last["checkpoints"].details, last["scores"].details
    return {
        "title": task.parameters.title or task.name,
        "lake": task.lake.root,
        "name": task.name,
        "verdict": verdict,
        "scores": scores,
        "training": training,
        "tokens": last["tokens"].details if "tokens" in last else {},
        "funnel": funnel_of(
            [m for m in made if m.artifact.kind in FUNNEL], task.parameters.rejected_samples
        ),
        "plot": line_plot(curves(training.get("curve", []))),
        "samples": json.loads(storage.read_bytes(task.inputs["scores"].file("samples.json"))),
        "steps": [step_of(m) for m in made],
        "seconds": sum(m.manifest.seconds for m in made),
        "cpu_seconds": sum(m.manifest.cpu_seconds for m in made),
        "checkpoint": last["checkpoints"].digest[:SHORT],
        "mlflow": tracking.ui_command(task.lake.root),
    }


def curves(curve: list[list[Any]]) -> dict[str, list[tuple[float, float | None]]]:
    """The loss curve of the checkpoints' manifest as lines by name."""
    return {
        "training": [(step, train) for step, train, _ in curve],
        "validation": [(step, validation) for step, _, validation in curve],
    }


def funnel_of(made: list[Made], samples: int) -> dict[str, Any]:
    """The steps that keep or drop documents: counts, reasons, bytes, and whether each step begins with what the one before left.

    Bytes are those of the text where every step counted them, else those of the stored files.
    """
    texts = [m.counted("bytes_text") for m in made]
    measure = "of text" if None not in texts else "stored"
    stages: list[dict[str, Any]] = []
    for m, text in zip(made, texts, strict=True):
        counts, before = m.manifest.counts, stages[-1] if stages else None
        chosen = rejected_samples(m, samples)
        stages.append(
            {
                "step": m.manifest.step,
                "rows_in": counts.rows_in,
                "rows_out": counts.rows_out,
                "rejected": sum(counts.rejected.values()),
                "bytes_in": before["bytes"] if before else m.counted("bytes_in"),
                "bytes": text if measure == "of text" else m.stored_bytes,
                "joined": before is None or before["rows_out"] == counts.rows_in,
                "reasons": [
                    {"reason": reason, "rows": rows, "samples": chosen.get(reason, [])}
                    for reason, rows in sorted(
                        counts.rejected.items(), key=lambda item: (-item[1], item[0])
                    )
                    if rows
                ],
            }
        )
    return {
        "stages": stages,
        "measure": measure,
        "seen": stages[0]["rows_in"] if stages else 0,
        "kept": stages[-1]["rows_out"] if stages else 0,
        "rejected": sum(stage["rejected"] for stage in stages),
        "most_bytes": max(
            [stage[key] or 0 for stage in stages for key in ("bytes_in", "bytes")], default=0
        ),
    }


def rejected_samples(made: Made, wanted: int) -> dict[str, list[dict[str, str]]]:
    """The first `wanted` rejected rows of each reason; text is read only from row groups that hold one of them."""
    missing = {reason: min(wanted, rows) for reason, rows in made.manifest.counts.rejected.items()}
    chosen: dict[str, list[dict[str, str]]] = {}
    for uri in made.artifact.rejected_uris():
        if not any(missing.values()):
            break
        with storage.open_read(uri) as stream:
            file = pq.ParquetFile(stream)
            shown = [
                name for name in ("reject_reason", "url", "text") if name in file.schema_arrow.names
            ]
            for group in range(file.num_row_groups):
                picked = []
                for row, reason in enumerate(
                    file.read_row_group(group, ["reject_reason"])["reject_reason"].to_pylist()
                ):
                    if missing.get(reason):
                        missing[reason] -= 1
                        picked.append((row, reason))
                rows = (
                    file.read_row_group(group, shown).take([row for row, _ in picked]).to_pylist()
                    if picked
                    else []
                )
                for (_, reason), row in zip(picked, rows, strict=True):
                    text = " ".join((row.get("text") or "")[: 4 * EXCERPT_CHARACTERS].split())
                    chosen.setdefault(reason, []).append(
                        {"url": row.get("url") or "", "text": text[:EXCERPT_CHARACTERS]}
                    )
    return chosen


def step_of(made: Made) -> dict[str, Any]:
    """One row of the table of steps. Throughput is rows in a second, for training tokens seen a second."""
    m = made.manifest
    done, unit = (
        (m.details["tokens_seen"], "tokens")
        if "tokens_seen" in m.details
        else (m.counts.rows_in, "rows")
    )
    return {
        "manifest": m,
        "uri": made.artifact.uri,
        "digest": m.digest[:SHORT],
        "rate": done / m.seconds if m.seconds and done > 1 else None,
        "unit": unit,
        "stored_bytes": sum(entry.size_bytes for entry in m.files),
        "runs": {
            "flow run": m.flow_run_id,
            "Spark application": m.spark_application_id,
            "MLflow run": m.mlflow_run_id,
        },
    }


def render(card: dict[str, Any]) -> str:
    """The page; everything that is not the template's own is escaped."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment.get_template("card.html.j2").render(card)
