"""Evaluations by name. Each is `evaluate(Subject) -> Outcome`; a new one is a file and a line here.

Their details are merged into the scores artifact's details, their files written beside each other.
"""

from collections.abc import Callable

from model.evaluations import perplexity, samples
from model.evaluations.subject import Outcome, Subject

__all__ = ["EVALUATIONS", "Outcome", "Subject"]

EVALUATIONS: dict[str, Callable[[Subject], Outcome]] = {
    "perplexity": perplexity.evaluate,
    "samples": samples.evaluate,
}
