"""The steps on documents and tokens, in the order of the pipeline. A new one is a module with `STEP` and
`run`, and one line here; `docs/adding-a-step.md` shows it."""

from infra.step import Step
from jobs import dedup, extract, filter, sample, tokenize, tokenizer

STEPS: tuple[Step, ...] = (
    sample.STEP,
    extract.STEP,
    filter.STEP,
    dedup.STEP,
    tokenizer.STEP,
    tokenize.STEP,
)
