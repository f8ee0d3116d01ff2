"""A small lake of real manifests that holds a whole run, for the report's tests."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flows.card.step import REPORT, ReportParameters
from infra import storage
from infra.lake import Artifact, Lake
from infra.manifest import Counts, Identity
from infra.step import Task

HOSTILE = "<script>alert('x')</script><img src=https://evil.example/x.png>"
ROW = pa.schema(
    [
        ("doc_id", pa.binary(16)),
        ("url", pa.string()),
        ("text", pa.string()),
        ("reject_reason", pa.string()),
    ]
)
CURVE = [[1, 8.3, None], [50, 5.0, 5.1], [100, 4.2, 4.4]]


def make(
    lake: Lake,
    place: str,
    inputs: dict[str, Artifact],
    counts: Counts,
    files: dict[str, Any],
    details: dict[str, Any],
    mlflow_run: str = "",
    **parameters: Any,
) -> Artifact:
    """A finished artifact, made unless it is there.

    place   `kind/step`
    files   path -> content: a list of rows for `.parquet`, JSON for others
    """
    kind, step = place.split("/")
    identity = Identity(kind, step, 1, parameters, {role: a.digest for role, a in inputs.items()})
    artifact = Artifact(lake.root, kind, "default", identity.digest)
    if artifact.manifest():
        return artifact
    writer = lake.begin(identity)
    for path, content in files.items():
        if path.endswith(".parquet"):
            Path(writer.file(path)).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(content, ROW), writer.file(path), row_group_size=4)
        else:
            storage.write_bytes(writer.file(path), json.dumps(content).encode())
    writer.commit(counts, details=details, mlflow_run_id=mlflow_run)
    return artifact


def rows(
    number: int, reason: str | None = None, url: str = "https://a.example/"
) -> list[dict[str, Any]]:
    """Rows as the steps write them."""
    return [
        {
            "doc_id": i.to_bytes(16, "big"),
            "url": f"{url}{reason}/{i}",
            "text": f"text {i} {HOSTILE}",
            "reject_reason": reason,
        }
        for i in range(number)
    ]


def parts(kept: int, rejected: list[dict[str, Any]]) -> dict[str, Any]:
    """Files of a step on rows."""
    return {"part-0.parquet": rows(kept), "_rejected/part-0.parquet": rejected}


def extracted(lake: Lake) -> Artifact:
    """Documents of a crawl: 14 kept, 5 rejected as empty and one as not text."""
    crawl = {"crawl": Artifact(lake.root, "crawl", "default", "c" * 64)}
    files = [{"uri": f"{HOSTILE}.warc", "bytes": 90_000, "content": "f" * 64}]
    return make(
        lake,
        "documents/extract",
        crawl,
        Counts(20, 14, {"empty": 5, "not_text": 1}, {"bytes_text": 9_000, "bytes_read": 80_000}),
        parts(14, rows(5, "empty") + rows(1, "not_text", HOSTILE)),
        {"bytes_in": 90_000, "crawl": files},
    )


def tokenized(lake: Lake) -> tuple[Artifact, Artifact]:
    """The tokens of what filter and dedup leave of the documents, and their tokenizer."""
    clean = make(
        lake,
        "clean/filter",
        {"documents": extracted(lake)},
        Counts(14, 11, {"too_short": 3}, {"bytes_text": 8_000}),
        parts(11, rows(3, "too_short")),
        {},
        keep="words > 50 AND <b>",
    )
    dedup = make(
        lake,
        "dedup/dedup",
        {"documents": clean},
        Counts(11, 10, {"exact_duplicate": 1}, {"bytes_text": 7_000}),
        parts(10, rows(1, "exact_duplicate")),
        {},
    )
    documents = {"documents": dedup}
    files: dict[str, Any] = {"tokenizer.json": {}}
    tokenizer = make(lake, "tokenizer/tokenizer", documents, Counts(10, 10), files, {})
    splits = {
        "train": {"tokens": 2_000, "bytes": 6_300, "documents": 9, "files": []},
        "val": {"tokens": 200, "bytes": 700, "documents": 1, "files": []},
    }
    details = {"splits": splits, "vocab_size": 4096, "tokenizer_type": "bpe"}
    inputs = {**documents, "tokenizer": tokenizer}
    written = {"part-0.parquet": rows(10)}
    return make(lake, "tokens/tokenize", inputs, Counts(10, 10), written, details), tokenizer


def a_run(
    lake: Lake,
    bits: float,
    seed: int = 1,
    curve: Any = CURVE,
    mlflow_run: str = "",
    **parameters: Any,
) -> Task:
    """The report's task over a lake that holds a whole run.

    bits        what its model scores, in bits per byte
    seed        another seed is another model
    mlflow_run  the MLflow run of its training
    """
    tokens, tokenizer = tokenized(lake)
    trained = {"tokens": tokens, "tokenizer": tokenizer}
    shape = {"parameters": 1_900_000, "steps": 100, "tokens_seen": 16_384}
    checkpoints = make(
        lake,
        "checkpoints/train",
        trained,
        Counts(64, 64),
        {"model.json": {}},
        {"curve": curve, **shape},
        mlflow_run,
        seed=seed,
    )
    source = {
        "val_bits_per_byte": bits,
        "val_loss": bits * 2.4,
        "perplexity": 80.0,
        "val_tokens": 199,
        "val_bytes": 700,
    }
    scores = make(
        lake,
        "scores/evaluate",
        {"checkpoints": checkpoints, **trained},
        Counts(1, 1),
        {"samples.json": [{"prompt": "The ", "text": "grist " + HOSTILE}]},
        {**source, "per_source": {"web": source, HOSTILE: source}},
    )
    models = make(
        lake,
        "models/export",
        {"checkpoints": checkpoints, "tokenizer": tokenizer},
        Counts(1, 1),
        {"config.json": {}},
        {},
    )
    inputs = {"scores": scores, "models": models}
    return Task(REPORT, lake, "default", ReportParameters(**parameters), inputs)
