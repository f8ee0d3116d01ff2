"""Checkpoints of a training: `step-00000100/` folders in the artifact, and the final model beside them.

A checkpoint is every tensor of model and optimizers (names `model.<parameter>` and `optimizer.<parameter>.<state>`) plus a small
JSON `TrainerState`. It is written by DCP in the background on a process group of its own while training goes on; a folder counts
once it holds COMPLETE. The newest `keep` and the best are kept. Any number of processes reads what any number wrote.

The final model is `model.safetensors` (fp32, parameters under their own names) and `model.json` (ModelConfig).
"""

import dataclasses
import json
import re
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact
from infra.parameters import build, plain
from model.architectures import build_model
from model.checkpoint.storage import (
    COMPLETE,
    METADATA,
    TRAINER,
    SafetensorsReader,
    SafetensorsWriter,
    read_tensors,
    write_tensors,
)
from model.config import ModelConfig

PREFIX = "step-"
MODEL_WEIGHTS = "model.safetensors"
MODEL_CONFIG = "model.json"
FOLDER = re.compile(PREFIX + r"(\d{8})/")


@dataclass
class TrainerState:
    """All that a run is besides tensors. Equal runs have equal states: no times, hosts, paths or process counts.

    step       optimizer steps done; sequences: consumed so far, the loader's whole state
    tokens     full digest of the tokens artifact that the order refers to
    curve      [step, training loss of that step, validation loss or None]
    bad_validations  validations since the best one; stopped: early stopping has decided
    """

    tokens: str
    seed: int
    step: int = 0
    sequences: int = 0
    best_step: int = 0
    best_loss: float | None = None
    bad_validations: int = 0
    stopped: bool = False
    curve: list[tuple[int, float, float | None]] = field(default_factory=list)


def training_tensors(
    model: nn.Module, optimizers: list[torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """Every tensor of a training under its checkpoint name, in the order of names; they are the live ones, not copies."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    tensors: dict[str, Tensor] = {
        f"model.{name}": parameter.detach() for parameter, name in names.items()
    }
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            for key, value in state.items():
                tensors[f"optimizer.{names[parameter]}.{key}"] = value
    return dict(sorted(tensors.items()))


class Checkpoints:
    """The checkpoint folders of one artifact. All methods but `steps` are collective: every rank calls them in the same order.

    group   a gloo process group that nothing else uses: the background thread communicates on it
    """

    def __init__(self, artifact: Artifact, keep: int, group: dist.ProcessGroup) -> None:
        self.artifact = artifact
        self.keep = keep
        self.group = group
        self._pending: Future[Any] | None = None
        self._best_step = 0
        self.saved_step = -1

    def folder(self, step: int) -> str:
        """The folder of a step's checkpoint."""
        return self.artifact.file(f"{PREFIX}{step:08d}")

    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, oldest first."""
        return sorted(_steps(self.artifact, complete=True))

    def sweep(self) -> list[int]:
        """Remove folders without COMPLETE (rank 0) and return the steps that are there, the same list on every rank."""
        if dist.get_rank() == 0:
            for step in _steps(self.artifact, complete=False) - _steps(
                self.artifact, complete=True
            ):
                storage.delete(self.folder(step))
        dist.barrier(group=self.group)
        return self.steps()

    def save(
        self, model: nn.Module, optimizers: list[torch.optim.Optimizer], state: TrainerState
    ) -> None:
        """Copy everything, then write it in the background. Waits for the save before, if it still runs."""
        if state.step == self.saved_step:
            return
        self.wait()
        writer = SafetensorsWriter(self.folder(state.step), {TRAINER: dataclasses.asdict(state)})
        saving = dcp.async_save(
            training_tensors(model, optimizers), storage_writer=writer, process_group=self.group
        )
        assert isinstance(saving, Future)
        self._pending, self._best_step, self.saved_step = saving, state.best_step, state.step

    def wait(self) -> None:
        """Until the save in progress is complete on all ranks; then remove checkpoints that are neither new nor best."""
        if self._pending is None:
            return
        self._pending.result()
        self._pending = None
        steps = self.steps()
        self.retain({*steps[-self.keep :], self._best_step})

    def retain(self, wanted: set[int]) -> None:
        """Remove (rank 0) all other checkpoints."""
        if dist.get_rank() == 0:
            for step in set(self.steps()) - wanted:
                storage.delete(storage.join(self.folder(step), COMPLETE))
                storage.delete(self.folder(step))

    def load(
        self, step: int, model: nn.Module, optimizers: list[torch.optim.Optimizer], tokens: str
    ) -> TrainerState:
        """Fill model and optimizers in place from the checkpoint of `step`; its state.

        Raises GristmillError when it was made with another data set than `tokens` (digest).
        """
        raw = json.loads(storage.read_bytes(storage.join(self.folder(step), TRAINER)))
        state = TrainerState(**{**raw, "curve": [tuple(point) for point in raw["curve"]]})
        if state.tokens != tokens:
            raise GristmillError(
                f"{self.folder(step)}: was trained on tokens {state.tokens[:12]}, this run reads {tokens[:12]};"
                " delete the folder to start anew"
            )
        self._make_states(step, model, optimizers)
        self._read(step, training_tensors(model, optimizers))
        self.saved_step = step
        return state

    def load_model(self, step: int, model: nn.Module) -> None:
        """Fill the model alone."""
        self._read(step, training_tensors(model, []))

    def _read(self, step: int, tensors: dict[str, Tensor]) -> None:
        dcp.load(
            tensors, storage_reader=SafetensorsReader(self.folder(step)), process_group=self.group
        )

    def _make_states(
        self, step: int, model: nn.Module, optimizers: list[torch.optim.Optimizer]
    ) -> None:
        """Optimizers make their states on the first update; here they are made to the checkpoint's measure, to be filled."""
        stored = json.loads(storage.read_bytes(storage.join(self.folder(step), METADATA)))[
            "tensors"
        ]
        names = {parameter: name for name, parameter in model.named_parameters()}
        sizes = SafetensorsReader(self.folder(step)).read_metadata().state_dict_metadata
        for optimizer in optimizers:
            for parameter in (p for group in optimizer.param_groups for p in group["params"]):
                prefix = f"optimizer.{names[parameter]}."
                for name in (n for n in stored if n.startswith(prefix)):
                    entry = sizes[name]
                    assert isinstance(entry, dcp.metadata.TensorStorageMetadata)
                    dtype = entry.properties.dtype
                    same = entry.size == parameter.shape
                    value = (
                        torch.zeros_like(parameter, dtype=dtype)
                        if same
                        else torch.zeros(entry.size, dtype=dtype)
                    )
                    optimizer.state[parameter][name.removeprefix(prefix)] = value.detach()


def write_model(artifact: Artifact, model: nn.Module, config: ModelConfig) -> None:
    """Write the final model. Collective: a parameter at a time is gathered, rank 0 streams it."""
    parameters = list(model.named_parameters())
    specs = [(name, parameter.dtype, tuple(parameter.shape)) for name, parameter in parameters]
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
    """The final model of a checkpoints artifact, whole, in evaluation mode."""
    config = build(
        ModelConfig, json.loads(storage.read_bytes(artifact.file(MODEL_CONFIG))), MODEL_CONFIG
    )
    with torch.device("meta"):
        model = build_model(config)
    model.to_empty(device=device or torch.device("cpu"))
    wanted = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in read_tensors(artifact.file(MODEL_WEIGHTS)):
            if name not in wanted or wanted[name].shape != tensor.shape:
                raise GristmillError(
                    f"{artifact.file(MODEL_WEIGHTS)}: {name} {tuple(tensor.shape)} is not the model's; train again"
                )
            wanted.pop(name).copy_(tensor)
    if wanted:
        raise GristmillError(
            f"{artifact.file(MODEL_WEIGHTS)}: lacks {', '.join(wanted)}; train again"
        )
    return model.eval(), config


def _steps(artifact: Artifact, *, complete: bool) -> set[int]:
    """Steps that have a folder; with `complete` only those whose folder holds COMPLETE."""
    found = set()
    for info in storage.list_files(artifact.uri):
        match = FOLDER.match(info.path)
        if match and (not complete or info.path.endswith("/" + COMPLETE)):
            found.add(int(match[1]))
    return found
