"""All steps, in the order of the pipeline. Everything else about them follows from their
declarations."""

import jobs.steps
import model.steps
from flows.card.step import REPORT
from infra.step import CRAWL, Step

STEPS: dict[str, Step] = {
    step.name: step for step in (*jobs.steps.STEPS, *model.steps.STEPS, REPORT)
}


def place(name: str) -> int:
    """Where a step stands in the order."""
    return list(STEPS).index(name)


def of_chain() -> list[Step]:
    """The steps that lead from crawl files to the report: all but those that read nothing."""
    return [step for step in STEPS.values() if step.reads]


def kinds() -> list[str]:
    """Every kind of artifact, in the order of the steps."""
    return [step.kind for step in STEPS.values()]


def optional() -> list[str]:
    """The steps that a run may leave out."""
    return [step.name for step in STEPS.values() if step.optional]


def makers(role: str) -> list[Step]:
    """The steps whose output plays the role, in order; none makes raw crawl files on a run's
    way."""
    return [] if role == CRAWL else [step for step in STEPS.values() if step.plays == role]
