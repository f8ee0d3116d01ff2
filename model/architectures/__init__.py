"""Architectures by name, and how any of them gets its first weights.

`build_model` makes the modules (also on the meta device); `init_weights` fills them. A weight's
first value depends on the seed and the weight's fully qualified name alone: not on the number of
processes, on sharding, or on what else the model holds.
"""

import hashlib
import math
from collections.abc import Callable

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from infra.errors import UsageError
from model.architectures.decoder import Decoder
from model.config import ModelConfig

ARCHITECTURES: dict[str, Callable[[ModelConfig], nn.Module]] = {"decoder": Decoder}


def build_model(config: ModelConfig) -> nn.Module:
    """The model of that shape; its weights mean nothing yet. forward(int64 [B, T]) -> [B, T, V].

    Raises UsageError when the vocabulary is not set.
    """
    if config.vocab_size < 1:
        raise UsageError("model.vocab_size is 0; give a vocabulary, or train on a tokens artifact")
    return ARCHITECTURES[config.architecture](config)


def initial_tensor(
    name: str, shape: tuple[int, ...], config: ModelConfig, seed: int
) -> torch.Tensor:
    """The first value of the parameter `name`, whole, fp32 on the CPU.

    Vectors are gains and start at 1, taps of convolutions (3 dimensions) at 0; matrices are normal
    with `init_std`, those that write into the residual stream with init_std / sqrt(2 layers)
    (Radford et al. 2019, section 2.3).
    """
    if len(shape) < 2:
        return torch.ones(shape)
    if len(shape) > 2:
        return torch.zeros(shape)
    # A generator a weight, seeded by its name: one generator for all would make a weight's value
    # depend on which weights were drawn before it.
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
    writes = name.endswith(("attention.output.weight", "feed_forward.down.weight"))
    std = config.init_std / math.sqrt(2 * config.layers) if writes else config.init_std
    return torch.empty(shape).normal_(0.0, std, generator=generator)


@torch.no_grad()
def init_weights(model: nn.Module, config: ModelConfig, seed: int) -> None:
    """Fill all parameters, plain or sharded (DTensor), in place; nothing is sent.

    Every process computes the whole tensor and keeps its shard (`src_data_rank=None`: the data is
    already the same everywhere).
    """
    for name, parameter in model.named_parameters():
        whole = initial_tensor(name, tuple(parameter.shape), config, seed).to(
            parameter.device, parameter.dtype
        )
        if isinstance(parameter, DTensor):
            whole = distribute_tensor(
                whole, parameter.device_mesh, parameter.placements, src_data_rank=None
            )
        parameter.copy_(whole)


def parameter_count(model: nn.Module) -> int:
    """All parameters, a tied weight once."""
    return sum(parameter.numel() for parameter in model.parameters())
