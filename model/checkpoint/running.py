"""Checkpoints of a training in progress: `step-00000100/` folders in the artifact.

A checkpoint is every tensor of model and optimizers (names `model.<parameter>` and
`optimizer.<parameter>.<state>`) plus a small JSON `TrainerState`. It is written by DCP in the
background while training goes on; a folder counts once it holds COMPLETE. The newest `keep` and the
best are kept. Any number of processes reads what any number wrote.

Collective calls. Saving and loading are conversations of all ranks: each rank must call the same
methods in the same order, or some wait for ever for a message that nobody sends. The saver's thread
talks while the trainer's thread does, and messages of one process group are matched by order alone;
so the saver has a group of its own, and a new save first waits for the one before.
"""

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from infra import storage
from infra.errors import GristmillError
from infra.failures import failure_in
from infra.lake import Artifact
from infra.manifest import SHORT
from model.checkpoint.storage import (
    COMPLETE,
    TRAINER,
    SafetensorsReader,
    SafetensorsWriter,
)

PREFIX = "step-"
FOLDER = re.compile(PREFIX + r"(\d{8})/")


@dataclass
class TrainerState:
    """All that a run is besides tensors.

    Equal runs have equal states: no times, hosts, paths or process counts.

    tokens           full digest of the tokens artifact that the order refers to
    seed             of the order
    step             optimizer steps done
    sequences        consumed so far: the loader's whole state
    best_step        step of the lowest validation loss, 0 before the first validation
    best_loss        that loss, nats a token
    bad_validations  validations since the best one
    stopped          early stopping has decided
    curve            (step, training loss of that step, validation loss or None)
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
    """Every tensor of a training under its checkpoint name, in the order of names.

    They are the live ones, not copies. Sorted, so that equal trainings write equal files.
    """
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
    """The checkpoint folders of one artifact.

    All methods but `folder` and `steps` are collective.

    group   a gloo process group that nothing else uses: the background thread talks on it
    kept    called on rank 0 with the steps that have a checkpoint, when one may have gone
    """

    def __init__(
        self,
        artifact: Artifact,
        keep: int,
        group: dist.ProcessGroup,
        kept: Callable[[set[int]], None] = lambda steps: None,
    ) -> None:
        self.artifact = artifact
        self.keep = keep
        self.group = group
        self.kept = kept
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
        """Remove folders without COMPLETE (rank 0); the steps that are there, alike on all."""
        if dist.get_rank() == 0:
            complete = _steps(self.artifact, complete=True)
            for step in _steps(self.artifact, complete=False) - complete:
                storage.delete(self.folder(step))
            self.kept(complete)
        dist.barrier(group=self.group)  # nobody lists a folder that is being removed
        return self.steps()

    def save(
        self, model: nn.Module, optimizers: list[torch.optim.Optimizer], state: TrainerState
    ) -> None:
        """Copy everything, then write it in the background; first wait for the save before."""
        if state.step == self.saved_step:
            return
        self.wait()
        writer = SafetensorsWriter(self.folder(state.step), {TRAINER: dataclasses.asdict(state)})
        saving = async_save(
            training_tensors(model, optimizers), storage_writer=writer, process_group=self.group
        )
        assert isinstance(saving, Future)
        self._pending, self._best_step, self.saved_step = saving, state.best_step, state.step

    def wait(self) -> None:
        """Until the save in progress is complete on all ranks; keep the newest and the best."""
        if self._pending is None:
            return
        with _told(f"checkpoint of step {self.saved_step}"):
            self._pending.result()
        self._pending = None
        steps = self.steps()
        self.retain({*steps[-self.keep :], self._best_step})

    def retain(self, wanted: set[int]) -> None:
        """Remove (rank 0) all other checkpoints."""
        if dist.get_rank() == 0:
            complete = _steps(self.artifact, complete=True)
            for step in complete - wanted:
                # COMPLETE goes first: a folder that a kill leaves half removed does not count
                storage.delete(storage.join(self.folder(step), COMPLETE))
                storage.delete(self.folder(step))
            self.kept(complete & wanted)

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
                f"{self.folder(step)}: was trained on tokens {state.tokens[:SHORT]}, this run reads"
                f" {tokens[:SHORT]}; delete the folder to start anew"
            )
        self._make_states(step, model, optimizers)
        self._read(step, training_tensors(model, optimizers))
        self.saved_step = step
        return state

    def load_model(self, step: int, model: nn.Module) -> None:
        """Fill the model alone."""
        self._read(step, training_tensors(model, []))

    def _read(self, step: int, tensors: dict[str, Tensor]) -> None:
        reader = SafetensorsReader(self.folder(step))
        with _told(f"{self.folder(step)}"):
            load(tensors, storage_reader=reader, process_group=self.group)

    def _make_states(
        self, step: int, model: nn.Module, optimizers: list[torch.optim.Optimizer]
    ) -> None:
        """Make the optimizers' states to the checkpoint's measure, to be filled.

        An optimizer makes its states on its first update, so a fresh one has none that DCP could
        fill. A state of its parameter's shape is sharded as the parameter is (zeros_like of a
        DTensor); any other (AdamW's count of steps) is a plain tensor, whole on every rank.
        """
        names = {parameter: name for name, parameter in model.named_parameters()}
        stored = SafetensorsReader(self.folder(step)).read_metadata().state_dict_metadata
        for optimizer in optimizers:
            for parameter in (p for group in optimizer.param_groups for p in group["params"]):
                prefix = f"optimizer.{names[parameter]}."
                for name in (n for n in stored if n.startswith(prefix)):
                    entry = stored[name]
                    assert isinstance(entry, TensorStorageMetadata)
                    dtype = entry.properties.dtype
                    same = entry.size == parameter.shape
                    value = (
                        torch.zeros_like(parameter, dtype=dtype)
                        if same
                        else torch.zeros(entry.size, dtype=dtype)
                    )
                    optimizer.state[parameter][name.removeprefix(prefix)] = value.detach()


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """What any rank met, as our error: DCP's is no Exception and would pass by every net."""
    try:
        yield
    except CheckpointException as error:
        raise failure_in(f"train: {what}", error) from error


def _steps(artifact: Artifact, *, complete: bool) -> set[int]:
    """Steps that have a folder; with `complete` only those whose folder holds COMPLETE."""
    found = set()
    for info in storage.list_files(artifact.uri):
        match = FOLDER.match(info.path)
        if match and (not complete or info.path.endswith("/" + COMPLETE)):
            found.add(int(match[1]))
    return found
