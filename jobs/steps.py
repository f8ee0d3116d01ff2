"""The steps that run on Spark, by name. A new one is a module with `STEP` and `run`, and one line here."""

from collections.abc import Callable

from infra.manifest import Manifest
from infra.step import Step, Task
from jobs import dedup, extract, filter, tokenize, tokenizer
from jobs.spark.session import Session

Run = Callable[[Session, Task], Manifest]

STEPS: dict[str, tuple[Step, Run]] = {
    module.STEP.name: (module.STEP, module.run)
    for module in (extract, filter, dedup, tokenizer, tokenize)
}
