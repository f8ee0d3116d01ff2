"""Trainings of a small model in processes of their own, as a flow starts them."""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from infra.parameters import build
from infra.process import Child
from infra.step import Task
from model.checkpoint.tensors import read_tensors
from model.config import TrainParameters
from model.steps import TRAIN
from tests.model.artifacts import Tokens, full

SMALL = {
    "model": {"context_tokens": 64, "layers": 2, "heads": 4, "width": 96, "ffn_width": 256},
    "steps": 12,
    "global_batch_sequences": 16,
    "micro_batch_sequences": 4,
    "validate_every_steps": 4,
    "checkpoint_every_steps": 3,
    "seed": 3,
}


def train_task(tokens: Tokens, name: str, **changes: Any) -> Task:
    """A training of the small model on `tokens`, its artifact named `name`."""
    return Task(
        step=TRAIN,
        lake=tokens.lake,
        name=name,
        parameters=build(TrainParameters, {**SMALL, **changes}),
        inputs={"tokens": full(tokens.tokens), "tokenizer": full(tokens.tokenizer)},
    )


def start_training(task: Task, folder: Path, processes: int) -> Child:
    """The training's processes; the log is `<name>.log` in `folder`."""
    request = folder / f"{task.name}.json"
    request.write_text(json.dumps(task.request()))
    return Child(
        [sys.executable, "-m", "model.launch", str(processes), TRAIN.module, str(request)],
        folder / f"{task.name}.log",
        {"OMP_NUM_THREADS": "1"},
    )


def train(task: Task, folder: Path, processes: int = 1) -> list[dict[str, Any]]:
    """Run the training to its end; its events."""
    with start_training(task, folder, processes) as child:
        child.close_input()
        events = list(child.events())
        assert child.wait() == 0, child.failure("training")
    return events


def kill_training(task: Task, folder: Path, processes: int, at: dict[str, Any]) -> None:
    """Run the training until an event with all of `at`, then kill all its processes with -9."""
    with start_training(task, folder, processes) as child:
        child.close_input()
        for event in child.events():
            if at.items() <= event.items():
                for process in child.tree():
                    process.kill()
                return
    raise AssertionError(f"the training ended without {at}")


def final_weights(task: Task) -> dict[str, torch.Tensor]:
    """The parameters of the finished training."""
    return dict(read_tensors(task.artifact.file("model.safetensors")))
