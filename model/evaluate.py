"""Measure a trained model: every evaluation of `model.evaluations`, in its order, in one process.

Step `evaluate`, kind `scores`. In: checkpoints (its final model), tokens (split `val`), tokenizer.
Out: the evaluations' files (scores.json, samples.json); in the manifest's details their numbers.
Rows in and out are validation targets plus prompts.

    python -m model.evaluate TASK.json
"""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from infra import storage
from infra.errors import GristmillError
from infra.manifest import SHORT, Counts, Manifest
from infra.process import emit
from infra.step import Task
from model.checkpoint.final import read_model
from model.evaluations import EVALUATIONS, Subject
from model.runtime import main
from model.steps import EVALUATE as STEP


def run(task: Task) -> Manifest:
    """The finished scores artifact.

    Raises GristmillError when the checkpoint was trained with another tokenizer than the tokens'.
    """
    trained = task.inputs["checkpoints"].require()
    tokens = task.inputs["tokens"].require()
    if trained.details["tokenizer"] != tokens.details["tokenizer"]:
        raise GristmillError(
            f"{task.inputs['checkpoints'].uri}: was trained with tokenizer"
            f" {trained.details['tokenizer']}, the tokens are of {tokens.details['tokenizer']};"
            " evaluate on tokens of the same tokenizer"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, config = read_model(task.inputs["checkpoints"], device)
    subject = Subject(
        model, config, device, task.inputs["tokens"], task.inputs["tokenizer"], task.parameters
    )
    with task.lake.begin(task.identity, task.name) as writer:
        details: dict[str, Any] = {"checkpoint": trained.digest[:SHORT]}
        rows = 0
        for number, (name, evaluate) in enumerate(EVALUATIONS.items(), start=1):
            part = {"part": name, "number": number, "of": len(EVALUATIONS)}
            outcome = evaluate(replace(subject, told=partial(tell, part)))
            details.update(outcome.details)
            rows += outcome.rows
            for file, content in outcome.files.items():
                storage.write_bytes(
                    writer.file(file),
                    (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(),
                )
        emit(
            "metric",
            step=0,
            **{key: value for key, value in details.items() if isinstance(value, float)},
        )
        return writer.commit(Counts(rows, rows), details=details)


def tell(part: dict[str, Any], done: int, total: int, unit: str) -> None:
    """How much of an evaluation is done."""
    emit("progress", step=STEP.name, done=done, total=total, unit=unit, **part)


if __name__ == "__main__":
    main(STEP, run)
