"""The final model of a training: `model.safetensors` (parameters under their own names) and
`model.json` (ModelConfig), beside the checkpoints in a `checkpoints` artifact.

`write_model` is a training's last act, on all its ranks. `read_model` is for one process, and does
without torch.distributed.checkpoint.
"""

import json

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact
from infra.parameters import build, plain
from model.architectures import build_model
from model.checkpoint.tensors import read_tensors, write_tensors
from model.config import ModelConfig

MODEL_WEIGHTS = "model.safetensors"
MODEL_CONFIG = "model.json"


def write_model(artifact: Artifact, model: nn.Module, config: ModelConfig) -> None:
    """Write the final model. Collective: all ranks call it; a whole parameter is held at a time."""
    parameters = list(model.named_parameters())
    specs = [(name, parameter.dtype, tuple(parameter.shape)) for name, parameter in parameters]
    # Each `full_tensor` is an all-gather. All ranks walk the parameters in the same order, those
    # that write nothing too, or the others would wait for ever.
    wholes = (p.full_tensor() if isinstance(p, DTensor) else p for _, p in parameters)
    if dist.get_rank() == 0:
        with storage.open_write(artifact.file(MODEL_WEIGHTS)) as stream:
            write_tensors(stream, specs, wholes)
        storage.write_bytes(
            artifact.file(MODEL_CONFIG), (json.dumps(plain(config), indent=1) + "\n").encode()
        )
    else:
        for _ in wholes:
            continue
    dist.barrier()


def read_model(
    artifact: Artifact, device: torch.device | None = None
) -> tuple[nn.Module, ModelConfig]:
    """The final model of a checkpoints artifact, whole, in evaluation mode; by default on the CPU.

    Raises GristmillError when the file lacks a parameter or holds another model's.
    """
    config = build(
        ModelConfig, json.loads(storage.read_bytes(artifact.file(MODEL_CONFIG))), MODEL_CONFIG
    )
    with torch.device("meta"):
        model = build_model(config)
    model.to_empty(device=device or torch.device("cpu"))
    weights = artifact.file(MODEL_WEIGHTS)
    wanted = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in read_tensors(weights):
            if name not in wanted or wanted[name].shape != tensor.shape:
                raise GristmillError(
                    f"{weights}: {name} {tuple(tensor.shape)} is not the model's; train again"
                )
            wanted.pop(name).copy_(tensor)
    if wanted:
        raise GristmillError(f"{weights}: lacks {', '.join(wanted)}; train again")
    return model.eval(), config
