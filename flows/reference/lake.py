"""What a lake holds: columns, artifacts, and the reasons for which rows are rejected."""

from flows.chain.steps import STEPS
from flows.reference.markdown import code, table
from infra.step import Step
from jobs.columns import TABLES, Table
from jobs.filter import default_rules

COLUMNS = """# Columns

Documents are stacks of files: the first layer, then what each step lays beside it, row for row;
`Artifact.documents` ([the lake from Python](../python-api.md)) reads them as one table. Places are
below the lake's root.

"""
ARTIFACTS = """# Artifacts

`<root>/<kind>/<name>/<digest>/` holds `_MANIFEST.json`, written last, and an artifact's own files.
What is made row by row lies in shards (`shards/<map>/`), which the manifest lists among its files.
`gristmill show KIND/NAME` prints a manifest.

"""
REASONS = """# Reasons

Why a row is rejected, step by step. The manifest counts them (`counts.rejected`), the report card
shows rows of each, `Lake.rejected` gives them all.

"""
RULES = """## Rules of `filter`

A document stays where every rule is true; the reason is the name of the first that is not.
Thresholds are the papers', cited at the signals' [columns](columns.md). `filter.rules` replaces
them.

"""


def columns() -> str:
    """The page of all columns."""
    return COLUMNS + "\n".join(map(columns_of, TABLES))


def columns_of(each: Table) -> str:
    """The columns of one kind of file."""
    rows = [(code(f.name), code(str(f.type)), each.meanings[f.name]) for f in each.schema]
    headings = ("column", "Arrow type", "meaning")
    return f"## {each.name.capitalize()}\n\n{code(each.place)}\n\n{table(headings, rows)}"


def artifacts() -> str:
    """The page of all kinds of artifact."""
    return ARTIFACTS + "\n".join([*map(artifact_of, STEPS.values()), manifest()])


def artifact_of(step: Step) -> str:
    """One kind: who makes it, of what, and what it holds."""
    of = ", ".join(map(code, step.reads)) or "nothing"
    made = f"Made by {code(step.name)}, version {step.version}, of {of}."
    said = [f"## {step.kind}\n\n{step.help} {made}\n"]
    for what, entries in (("file", step.files), ("details", step.details)):
        if entries:
            said.append(table((what, "what it is"), [(code(n), m) for n, m in entries.items()]))
    return "\n".join(said)


def manifest() -> str:
    """The fields that every manifest has."""
    rows = [(code(name), meaning) for name, meaning in FIELDS.items()]
    return f"## The fields of every manifest\n\n{table(('field', 'what it says'), rows)}"


FIELDS = {
    "format": "version of the manifest's own form",
    "kind": "folder below the lake's root",
    "name": "the run's `name`",
    "step": "the step that made it",
    "version": "of the step, raised whenever its result changes",
    "digest": "SHA-256 over step, version, parameters, inputs and libraries: its identity",
    "parameters": "those that change the result",
    "inputs": "role -> digest of each artifact, and of the crawl, that it was made from",
    "files": "path below the root, size, SHA-256, rows, shard and layer of every file",
    "content": "hash over the files' hashes: equal results are equal here",
    "counts": "rows_in = rows_out + all of `rejected`, by reason; `extra`: bytes, tokens, the like",
    "libraries": "name -> version of each library that shapes the result, part of the identity",
    "schema": "name and Arrow type of each column of the rows",
    "details": "what else the step says, above",
    "revision": "commit of the code, with `+` where it was changed",
    "tools": "versions of Python and of the libraries that shape results",
    "started_at": "time, UTC",
    "seconds": "wall time",
    "cpu_seconds": "of the process that wrote it",
    "peak_memory_bytes": "of that process",
    "flow_run_id": "Prefect's, empty without a flow",
    "spark_application_id": "Spark's, empty without",
    "mlflow_run_id": "MLflow's, empty without",
}
"""The fields of `infra.manifest.Manifest`; counts are `infra.manifest.Counts`."""


def reasons() -> str:
    """The page of all reasons."""
    tables = [
        f"## {step.name}\n\n"
        + table(("reason", "meaning"), [(code(n), m) for n, m in step.reasons.items()])
        for step in STEPS.values()
        if step.reasons
    ]
    rules = [(code(name), code(rule)) for name, rule in default_rules().items()]
    return REASONS + "\n".join([*tables, RULES + table(("rule", "must be true"), rules)])
