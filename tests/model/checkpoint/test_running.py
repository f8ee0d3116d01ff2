"""Checkpoints of a training: what is read is what was written, also on S3; what is not complete
does not exist; no pickle anywhere."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as safetensors_load

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact
from model.checkpoint.final import read_model, write_model
from model.checkpoint.running import Checkpoints, TrainerState
from model.checkpoint.storage import COMPLETE
from model.checkpoint.tensors import read_tensors
from model.runtime import Processes
from tests.model.checkpoint.trained import CONFIG, copies, same, training

TOKENS = "7" * 64


def state_at(step: int, best: int = 0) -> TrainerState:
    return TrainerState(
        TOKENS,
        1,
        step=step,
        sequences=16 * step,
        best_step=best,
        best_loss=1.5,
        curve=[(1, 2.0, None), (step, 0.1 + 0.2, 1.5)],
    )


def saved(artifact: Artifact, processes: Processes) -> tuple[Checkpoints, dict[str, torch.Tensor]]:
    """A checkpoint of step 10, and its tensors; the model changes while it is being written."""
    model, optimizers = training(processes, 1)
    checkpoints = Checkpoints(artifact, 2, processes.checkpoint)
    checkpoints.save(model, optimizers, state_at(10))
    before = copies(model, optimizers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    checkpoints.wait()
    return checkpoints, before


def test_a_fresh_training_gets_every_bit_back(artifact: Artifact, processes: Processes) -> None:
    checkpoints, before = saved(artifact, processes)
    model, optimizers = training(processes, seed=2, steps=0)
    assert checkpoints.sweep() == [10]
    state = checkpoints.load(10, model, optimizers, TOKENS)
    assert same(copies(model, optimizers), before)
    assert state == state_at(10)


def test_training_on_does_not_reach_a_save_in_progress(
    artifact: Artifact, processes: Processes
) -> None:
    checkpoints, before = saved(artifact, processes)
    stored = dict(read_tensors(checkpoints.folder(10) + "/shard-00000.safetensors"))
    assert same({name: t for name, t in stored.items() if "@" not in name}, before)


def test_a_folder_holds_safetensors_and_json_alone(
    artifact: Artifact, processes: Processes
) -> None:
    checkpoints, before = saved(artifact, processes)
    folder = Path(checkpoints.folder(10))
    assert sorted(p.name for p in folder.iterdir()) == [
        COMPLETE,
        "metadata.json",
        "shard-00000.safetensors",
        "trainer.json",
    ]
    assert same(safetensors_load((folder / "shard-00000.safetensors").read_bytes()), before)
    assert json.loads((folder / "trainer.json").read_text())["step"] == 10


def test_an_incomplete_folder_is_ignored_and_removed(
    artifact: Artifact, processes: Processes
) -> None:
    checkpoints, _ = saved(artifact, processes)
    storage.write_bytes(artifact.file("step-00000012", "shard-00000.safetensors"), b"half")
    assert checkpoints.steps() == [10]
    assert Checkpoints(artifact, 2, processes.checkpoint).sweep() == [10]
    assert not storage.exists(artifact.file("step-00000012"))


def test_another_data_set_is_refused(artifact: Artifact, processes: Processes) -> None:
    checkpoints, _ = saved(artifact, processes)
    model, optimizers = training(processes, seed=2, steps=0)
    with pytest.raises(
        GristmillError, match="was trained on tokens 777777777777, this run reads 888888888888"
    ):
        checkpoints.load(10, model, optimizers, "8" * 64)


def test_the_newest_and_the_best_are_kept(artifact: Artifact, processes: Processes) -> None:
    model, optimizers = training(processes, 1)
    checkpoints = Checkpoints(artifact, 2, processes.checkpoint)
    for step in (1, 2, 3, 4, 5):
        checkpoints.save(model, optimizers, state_at(step, best=min(step, 2)))
    checkpoints.wait()
    assert checkpoints.steps() == [2, 4, 5]


def test_checkpoints_on_s3_stream_without_a_local_copy(
    s3_root: str, processes: Processes, tmp_path: Path
) -> None:
    artifact = Artifact(s3_root, "checkpoints", "demo", "c" * 64)
    checkpoints, before = saved(artifact, processes)
    model, optimizers = training(processes, seed=2, steps=0)
    assert checkpoints.load(checkpoints.sweep()[-1], model, optimizers, TOKENS) == state_at(10)
    assert same(copies(model, optimizers), before)
    write_model(artifact, model, CONFIG)
    assert read_model(artifact)[1] == CONFIG
    assert list(tmp_path.iterdir()) == []
