"""The final model: other tools read it, a damaged one is refused."""

import pytest
import torch
from safetensors.torch import load as safetensors_load
from torch.distributed.fsdp import FSDPModule

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact
from model.checkpoint.final import read_model, write_model
from model.checkpoint.tensors import write_tensors
from model.runtime import Processes
from tests.model.checkpoint.trained import CONFIG, training


def test_the_final_model_computes_what_the_training_did(
    artifact: Artifact, processes: Processes
) -> None:
    model, _ = training(processes, 1)
    tokens = torch.arange(10)[None]
    with torch.no_grad():
        logits = model(tokens)
    assert isinstance(model, FSDPModule)
    model.reshard()
    write_model(artifact, model, CONFIG)
    again, config = read_model(artifact)
    assert config == CONFIG
    assert not again.training
    with torch.no_grad():
        torch.testing.assert_close(again(tokens), logits, rtol=0, atol=0)


def test_the_final_model_is_read_by_other_tools(artifact: Artifact, processes: Processes) -> None:
    model, _ = training(processes, 1)
    write_model(artifact, model, CONFIG)
    stored = safetensors_load(storage.read_bytes(artifact.file("model.safetensors")))
    assert stored.keys() == dict(model.named_parameters()).keys()


def test_a_damaged_final_model_is_refused(artifact: Artifact, processes: Processes) -> None:
    model, _ = training(processes, 1)
    write_model(artifact, model, CONFIG)
    with storage.open_write(artifact.file("model.safetensors")) as stream:
        write_tensors(stream, [("norm.weight", torch.float32, (32,))], [torch.ones(32)])
    with pytest.raises(GristmillError, match="lacks embedding"):
        read_model(artifact)


def test_another_models_weights_are_refused(artifact: Artifact, processes: Processes) -> None:
    model, _ = training(processes, 1)
    write_model(artifact, model, CONFIG)
    with storage.open_write(artifact.file("model.safetensors")) as stream:
        write_tensors(stream, [("norm.weight", torch.float32, (31,))], [torch.ones(31)])
    with pytest.raises(GristmillError, match=r"norm.weight \(31,\) is not the model's"):
        read_model(artifact)
