"""Checkpoints: what is read is what was written, also on S3; what is not complete does not exist; no pickle anywhere."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load as safetensors_load
from torch import nn
from torch.distributed.device_mesh import init_device_mesh

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact
from infra.parameters import build
from model.architectures import build_model, init_weights
from model.checkpoint.running import (
    Checkpoints,
    TrainerState,
    read_model,
    training_tensors,
    write_model,
)
from model.checkpoint.storage import COMPLETE, read_tensors, write_tensors
from model.config import ModelConfig, TrainParameters
from model.optim import build_optimizers
from model.parallelize import parallelize

CONFIG = ModelConfig(vocab_size=61, context_tokens=16, layers=2, heads=2, width=32, ffn_width=48)
TOKENS = "7" * 64


@pytest.fixture(scope="module")
def group() -> Iterator[dist.ProcessGroup]:
    """A process group of one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield dist.new_group(backend="gloo")
    dist.destroy_process_group()


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return Artifact(str(tmp_path / "lake"), "checkpoints", "demo", "c" * 64)


def training(seed: int, steps: int = 2) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
    """A sharded model after some updates."""
    model = build_model(CONFIG)
    parallelize(model, init_device_mesh("cpu", (1,)), "fp32")
    init_weights(model, CONFIG, seed)
    optimizers = build_optimizers(model, build(TrainParameters, {}))
    for step in range(steps):
        tokens = torch.arange(16)[None] * (step + 3) % 61
        model(tokens).logsumexp(-1).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return model, optimizers


def copies(model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    tensors = training_tensors(model, optimizers)
    return {
        name: (t.full_tensor() if hasattr(t, "full_tensor") else t).clone()
        for name, t in tensors.items()
    }


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


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


def saved(
    artifact: Artifact, group: dist.ProcessGroup, seed: int = 1
) -> tuple[Checkpoints, dict[str, torch.Tensor]]:
    model, optimizers = training(seed)
    checkpoints = Checkpoints(artifact, 2, group)
    checkpoints.save(model, optimizers, state_at(10))
    before = copies(model, optimizers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    checkpoints.wait()
    return checkpoints, before


def test_a_fresh_training_gets_every_bit_back(artifact: Artifact, group: dist.ProcessGroup) -> None:
    checkpoints, before = saved(artifact, group)
    model, optimizers = training(seed=2, steps=0)
    assert checkpoints.sweep() == [10]
    state = checkpoints.load(10, model, optimizers, TOKENS)
    assert same(copies(model, optimizers), before)
    assert state == state_at(10)


def test_training_on_does_not_reach_a_save_in_progress(
    artifact: Artifact, group: dist.ProcessGroup
) -> None:
    checkpoints, before = saved(artifact, group)
    stored = dict(read_tensors(checkpoints.folder(10) + "/shard-00000.safetensors"))
    assert same({name: t for name, t in stored.items() if "@" not in name}, before)


def test_a_folder_holds_safetensors_and_json_alone(
    artifact: Artifact, group: dist.ProcessGroup
) -> None:
    checkpoints, before = saved(artifact, group)
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
    artifact: Artifact, group: dist.ProcessGroup
) -> None:
    checkpoints, _ = saved(artifact, group)
    storage.write_bytes(artifact.file("step-00000012", "shard-00000.safetensors"), b"half")
    assert checkpoints.steps() == [10]
    assert Checkpoints(artifact, 2, group).sweep() == [10]
    assert not storage.exists(artifact.file("step-00000012"))


def test_another_data_set_is_refused(artifact: Artifact, group: dist.ProcessGroup) -> None:
    checkpoints, _ = saved(artifact, group)
    model, optimizers = training(seed=2, steps=0)
    with pytest.raises(
        GristmillError, match="was trained on tokens 777777777777, this run reads 888888888888"
    ):
        checkpoints.load(10, model, optimizers, "8" * 64)


def test_the_newest_and_the_best_are_kept(artifact: Artifact, group: dist.ProcessGroup) -> None:
    model, optimizers = training(1)
    checkpoints = Checkpoints(artifact, 2, group)
    for step in (1, 2, 3, 4, 5):
        checkpoints.save(model, optimizers, state_at(step, best=min(step, 2)))
    checkpoints.wait()
    assert checkpoints.steps() == [2, 4, 5]


def test_the_final_model_is_read_by_other_tools(
    artifact: Artifact, group: dist.ProcessGroup
) -> None:
    model, _ = training(1)
    tokens = torch.arange(10)[None]
    with torch.no_grad():
        logits = model(tokens)
    model.reshard()  # type: ignore[operator]
    write_model(artifact, model, CONFIG)
    again, config = read_model(artifact)
    assert config == CONFIG
    with torch.no_grad():
        torch.testing.assert_close(again(tokens), logits, rtol=0, atol=0)
    assert (
        safetensors_load(storage.read_bytes(artifact.file("model.safetensors"))).keys()
        == dict(again.named_parameters()).keys()
    )


def test_a_damaged_final_model_is_refused(artifact: Artifact, group: dist.ProcessGroup) -> None:
    model, _ = training(1)
    write_model(artifact, model, CONFIG)
    with storage.open_write(artifact.file("model.safetensors")) as stream:
        write_tensors(stream, [("norm.weight", torch.float32, (32,))], [torch.ones(32)])
    with pytest.raises(GristmillError, match="lacks embedding"):
        read_model(artifact)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.uint8]
)
def test_tensors_of_every_type_and_shape_survive(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {
        "scalar": torch.tensor(3),
        "empty": torch.empty(0, 4),
        "matrix": torch.arange(12).reshape(3, 4),
        "strided": torch.ones(4, 3).T,
    }
    typed = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    target = str(tmp_path / "x.safetensors")
    with storage.open_write(target) as stream:
        write_tensors(
            stream, [(name, dtype, tuple(t.shape)) for name, t in typed.items()], typed.values()
        )
    assert same(dict(read_tensors(target)), typed)
    assert same(safetensors_load(Path(target).read_bytes()), typed)


def test_checkpoints_on_s3_stream_without_a_local_copy(
    s3_root: str, group: dist.ProcessGroup, tmp_path: Path
) -> None:
    artifact = Artifact(s3_root, "checkpoints", "demo", "c" * 64)
    checkpoints, before = saved(artifact, group)
    model, optimizers = training(seed=2, steps=0)
    assert checkpoints.load(checkpoints.sweep()[-1], model, optimizers, TOKENS) == state_at(10)
    assert same(copies(model, optimizers), before)
    write_model(artifact, model, CONFIG)
    assert read_model(artifact)[1] == CONFIG
    assert list(tmp_path.iterdir()) == []
