"""The steps on documents and tokens, in the order of the pipeline. A new one is a module with
`STEP` and `run`, and one line here; `docs/adding-a-step.md` shows it."""

from importlib import import_module

from infra.step import Step

NAMES = (
    "sample",
    "extract",
    "filter",
    "dedup",
    "tokenizer",
    "tokenize",
)
STEPS: tuple[Step, ...] = tuple(import_module(f"jobs.{name}").STEP for name in NAMES)
