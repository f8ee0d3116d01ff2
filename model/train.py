"""Train a model on a `tokens` artifact: any number of processes, FSDP2, checkpoints that lose
nothing. Step `train`, kind `checkpoints`.

In: tokens (splits `train` and `val`), tokenizer. Out: the newest and the best checkpoint
(`step-*/`), `model.safetensors`, `model.json`, and in the manifest's details losses, curve, tokens
seen and the model's shape. Rows in and out are sequences consumed.

Promises. First weights and the order of data do not depend on the number of processes. A training
killed at any step and started again ends with the same bits as one that was not, at the same number
of processes; with another number within 1e-6 (fp32). SIGTERM: all ranks agree on the step, save,
and exit with 0 and without a manifest; the next start goes on from there.

Every rank runs this same program. All that decides which calls it makes (the step, whether it
validates, saves or stops) is equal on all ranks, computed from equal numbers or agreed upon: calls
of several ranks that do not meet would wait for ever.

    python -m model.launch 2 model.train TASK.json
"""

import math
from typing import Any

import torch
import torch.distributed as dist

from infra.errors import GristmillError
from infra.manifest import SHORT, Counts, Manifest
from infra.parameters import plain
from infra.process import emit
from infra.step import Task
from model.architectures import build_model, init_weights, parameter_count
from model.checkpoint.final import write_model
from model.checkpoint.running import PREFIX, Checkpoints, TrainerState
from model.config import TrainParameters
from model.data.loader import Shape, TrainLoader
from model.data.split import TokenSplit
from model.data.validation import ValidationWindows, validation_loss
from model.objectives import OBJECTIVES
from model.optim import build_optimizers, lr_at, set_rate
from model.parallelize import clip_gradients, parallelize, reduce_gradients_after
from model.reporting import Reporter, peak_memory_bytes
from model.runtime import Interruption, Processes, main, start_processes
from model.steps import TRAIN as STEP

CURVE_POINTS = 500


class Trainer:
    """One training on this rank: the order of things; the mathematics is in what it calls."""

    def __init__(self, task: Task, processes: Processes) -> None:
        self.task, self.processes = task, processes
        self.parameters: TrainParameters = task.parameters
        p = self.parameters
        self.train_split, self.val_split = (
            TokenSplit(task.inputs["tokens"], name) for name in ("train", "val")
        )
        shape = Shape(
            p.model.context_tokens,
            p.global_batch_sequences,
            p.micro_batch_sequences,
            processes.rank,
            processes.world,
        )
        self.loader = TrainLoader(self.train_split, shape, p.seed)
        self.config = p.model.with_vocabulary(self.train_split.vocab_size)
        with torch.device("meta"):
            self.model = build_model(self.config)
        self.parameter_count = parameter_count(self.model)
        parallelize(self.model, processes.mesh, p.precision)
        self.model.to_empty(device=processes.device)
        init_weights(self.model, self.config, p.seed)
        self.optimizers = build_optimizers(self.model, p)
        self.state = TrainerState(self.train_split.digest, p.seed)
        flops_a_token = (
            6 * self.parameter_count
            + 12 * self.config.layers * self.config.width * p.model.context_tokens
        )
        self.reporter = Reporter(task, processes, p.steps, flops_a_token)
        self.checkpoints = Checkpoints(
            task.artifact, p.keep_checkpoints, processes.checkpoint, self.reporter.kept
        )

    def resume(self) -> None:
        """Continue from the newest complete checkpoint, if there is one."""
        steps = self.checkpoints.sweep()
        if steps:
            self.state = self.checkpoints.load(
                steps[-1], self.model, self.optimizers, self.train_split.digest
            )
            if self.processes.rank == 0:
                emit("resumed", step=self.state.step)

    def train(self, interruption: Interruption) -> bool:
        """Steps until the last one, early stopping (True) or an interruption (False).

        Ends with a saved checkpoint.
        """
        every = max(1, self.parameters.steps // CURVE_POINTS)
        told = self.state.sequences
        while self.state.step < self.parameters.steps and not self.state.stopped:
            if interruption.agreed(self.processes.control):
                self.save()
                return False
            nats, norm, rate = self.step()
            step, ends = self.state.step, self.state.step == self.parameters.steps
            validates = ends or step % self.parameters.validate_every_steps == 0
            if validates or step % every == 0:
                loss = self.global_loss(nats)
                tokens = (self.state.sequences - told) * self.parameters.model.context_tokens
                told = self.state.sequences
                self.reporter.step(
                    step,
                    tokens,
                    {"train_loss": loss, "gradient_norm": float(norm), "lr_multiplier": rate},
                )
                best_before = self.state.best_step
                self.state.curve.append((step, loss, self.validate() if validates else None))
                if self.state.best_step != best_before:
                    self.save()
            if step % self.parameters.checkpoint_every_steps == 0:
                self.save()
        self.save()
        return True

    def step(self) -> tuple[torch.Tensor, torch.Tensor, float]:
        """One update.

        This rank's nats (float64), the gradient's norm before clipping (float64), the learning
        rate's multiplier.
        """
        p = self.parameters
        objective = OBJECTIVES[p.objective]
        nats = torch.zeros((), dtype=torch.float64, device=self.processes.device)
        last = self.loader.shape.micro_batches - 1
        for number, tokens in enumerate(self.loader.micro_batches(self.state.sequences)):
            reduce_gradients_after(self.model, p.precision, last=number == last)
            loss, _ = objective(self.model, tokens.to(self.processes.device))  # of [micro, T + 1]
            torch.autograd.backward(loss / p.global_batch_tokens)
            nats += loss.detach()
        norm = clip_gradients(self.model, p.clip_norm, self.processes.mesh.get_group())
        rate = lr_at(self.state.step, p)
        set_rate(self.optimizers, rate)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.state.step += 1
        self.state.sequences += p.global_batch_sequences
        return nats, norm, rate

    def global_loss(self, nats: torch.Tensor) -> float:
        """Nats a token of the last global batch."""
        total = nats.cpu()
        dist.all_reduce(total, group=self.processes.control)
        loss = float(total) / self.parameters.global_batch_tokens
        if not math.isfinite(loss):
            raise GristmillError(
                f"train: the loss is {loss} at step {self.state.step}; lower the learning rates or"
                " raise warmup_steps"
            )
        return loss

    def validate(self) -> float:
        """Validation loss now; remembers the best and decides about early stopping."""
        loss = self.measure(self.parameters.validate_tokens)
        self.reporter.validated(self.state.step, loss)
        if self.state.best_loss is None or loss < self.state.best_loss:
            self.state.best_loss, self.state.best_step, self.state.bad_validations = (
                loss,
                self.state.step,
                0,
            )
        else:
            self.state.bad_validations += 1
            self.state.stopped = 0 < self.parameters.patience <= self.state.bad_validations
        return loss

    def measure(self, cap_tokens: int) -> float:
        """Mean nats a token on the validation split, or on so many tokens from its beginning."""
        p, here = self.parameters, self.processes
        windows = ValidationWindows(
            self.val_split,
            p.model.context_tokens,
            p.micro_batch_sequences,
            here.rank,
            here.world,
            cap_tokens=cap_tokens,
        )
        return validation_loss(self.model, windows, here.device, here.control)

    def save(self) -> None:
        """Start saving a checkpoint, unless this step has one."""
        if self.state.step != self.checkpoints.saved_step:
            self.checkpoints.save(self.model, self.optimizers, self.state)
            validated = {step: loss for step, _, loss in self.state.curve[-1:]}.get(self.state.step)
            scores = {} if validated is None else {"val_loss": validated}
            self.reporter.saved(self.state.step, self.checkpoints.folder(self.state.step), scores)

    def finish(self) -> dict[str, Any]:
        """Choose the final weights, measure them on the whole validation split, write them.

        The manifest's details.
        """
        self.checkpoints.wait()
        state, choice = self.state, self.parameters.final_weights
        chosen = (
            state.best_step
            if choice == "best" or (choice == "auto" and state.stopped)
            else state.step
        )
        self.checkpoints.retain({state.step, state.best_step, chosen})
        if chosen != state.step:
            self.checkpoints.load_model(chosen, self.model)
        self.reporter.measuring(self.val_split.tokens)
        loss = self.measure(0)
        write_model(self.task.artifact, self.model, self.config)
        memory = torch.tensor(peak_memory_bytes(self.processes.device))
        dist.all_reduce(memory, op=dist.ReduceOp.MAX, group=self.processes.control)
        targets = self.val_split.tokens - 1
        return {
            "val_loss": loss,
            "val_bits_per_byte": loss * targets / math.log(2) / self.val_split.bytes,
            "steps": state.step,
            "final_step": chosen,
            "best_step": state.best_step,
            "stopped_early": state.stopped,
            "parameters": self.parameter_count,
            "tokens_seen": state.sequences * self.parameters.model.context_tokens,
            "epochs": round(state.sequences / self.loader.order.sequences, 3),
            "dropped_tokens_an_epoch": self.loader.order.dropped_tokens,
            "tokens_per_second": round(self.reporter.tokens_per_second, 1),
            "peak_memory_bytes_a_process": int(memory),
            "processes": self.processes.world,
            "curve": [list(point) for point in state.curve],
            "model": plain(self.config),
            "tokenizer": self.task.inputs["tokenizer"].digest[:SHORT],
            "tokens": self.train_split.digest[:SHORT],
        }


def run(task: Task) -> Manifest | None:
    """Train, or go on training. The manifest; None on other ranks, and when a SIGTERM came first.

    Raises GristmillError. Every rank calls it.
    """
    interruption = Interruption()
    processes = start_processes()
    first = processes.rank == 0
    writer = task.lake.begin(task.identity, task.name, keep=(PREFIX,)) if first else None
    dist.barrier(group=processes.control)  # no rank looks into a folder that is not claimed yet
    trainer = Trainer(task, processes)
    trainer.resume()
    if trainer.train(interruption):
        details = trainer.finish()
        scores = {key: details[key] for key in ("val_loss", "val_bits_per_byte")}
        run_id = trainer.reporter.close("FINISHED", scores)
        rows = trainer.state.sequences
        manifest = (
            writer.commit(Counts(rows, rows), details=details, mlflow_run_id=run_id)
            if writer
            else None
        )
    else:
        trainer.checkpoints.wait()
        if processes.rank == 0:
            emit("interrupted", step=trainer.state.step)
        trainer.reporter.close("KILLED")
        if writer:
            writer.close()
        manifest = None
    dist.barrier(group=processes.control)  # none leaves while another still speaks to it
    dist.destroy_process_group()
    return manifest


if __name__ == "__main__":
    main(STEP, run)
