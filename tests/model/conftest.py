"""Small artifacts for the model's tests, written with pyarrow and infra alone, as the steps of jobs/ would write them."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from infra import storage
from infra.lake import Artifact, Lake
from infra.manifest import Counts, Identity
from infra.parameters import build
from infra.process import Child
from infra.step import Task
from model.checkpoint.tensors import read_tensors
from model.config import TrainParameters
from model.steps import TRAIN

BYTES_VOCAB = 257
SOURCES = ("web", "books")


@dataclass(frozen=True)
class Tokens:
    """A lake with a bytes tokenizer and a tokens artifact, and the documents that went in, in row order."""

    lake: Lake
    tokenizer: Artifact
    tokens: Artifact
    train: list[list[np.ndarray]]
    val: list[list[np.ndarray]]


def random_text(rng: np.random.Generator, size: int) -> np.ndarray:
    """Bytes with something to learn: a random walk over a few letters."""
    return (97 + np.cumsum(rng.choice([-1, 1], size=size)) % 16).astype(np.uint16)


def write_split(
    writer_file: Callable[..., str], split: str, groups: list[list[np.ndarray]], files: int = 2
) -> dict:
    """Write the row groups as `files` files and describe them as the manifest does."""
    described = []
    for number in range(files):
        mine = groups[number::files]
        if not mine:
            continue
        path = f"part-{split}-{number:05d}.parquet"
        with (
            storage.open_write(writer_file(path)) as stream,
            pq.ParquetWriter(stream, SCHEMA, compression="zstd") as out,
        ):
            for group in mine:
                out.write_table(table_of(group, split), row_group_size=len(group))
        described.append(
            {"path": path, "row_groups": [int(sum(len(d) for d in group)) for group in mine]}
        )
    documents = [d for group in groups for d in group]
    total = sum(len(d) for d in documents)
    return {
        "tokens": total,
        "bytes": total - len(documents),
        "documents": len(documents),
        "files": described,
    }


SCHEMA = pa.schema(
    [
        ("doc_id", pa.binary(16)),
        ("source", pa.string()),
        ("tokens", pa.binary()),
        ("n_tokens", pa.int32()),
        ("n_bytes", pa.int32()),
        ("split", pa.string()),
    ]
)


def table_of(group: list[np.ndarray], split: str) -> pa.Table:
    """One row group: a document a row; sources alternate."""
    return pa.table(
        {
            "doc_id": [bytes(16) for _ in group],
            "source": [SOURCES[index % len(SOURCES)] for index in range(len(group))],
            "tokens": [d.astype("<u2").tobytes() for d in group],
            "n_tokens": [len(d) for d in group],
            "n_bytes": [len(d) - 1 for d in group],
            "split": [split] * len(group),
        },
        schema=SCHEMA,
    )


def write_tokens(
    root: str, seed: int = 0, train_groups: int = 5, documents: int = 6, size: int = 400
) -> Tokens:
    """A lake at `root` with tokenizer and tokens; document lengths vary around `size`."""
    lake = Lake.at(root)
    tokenizer_writer = lake.begin(Identity("tokenizer", "tokenizer", 1, {"type": "bytes"}, {}))
    vocab = {
        **{char: code for code, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))},
        "<eos>": 256,
    }
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    storage.write_bytes(tokenizer_writer.file("tokenizer.json"), tokenizer.to_str().encode())
    config = {"type": "bytes", "vocab_size": BYTES_VOCAB, "eos_id": 256}
    storage.write_bytes(tokenizer_writer.file("config.json"), json.dumps(config).encode())
    tokenizer_manifest = tokenizer_writer.commit(Counts(), details=config)
    rng = np.random.default_rng(seed)

    def group() -> list[np.ndarray]:
        sizes = rng.integers(size // 2, size * 3 // 2, documents)
        return [np.append(random_text(rng, int(n)), np.uint16(256)) for n in sizes]

    train, val = [group() for _ in range(train_groups)], [group() for _ in range(2)]
    writer = lake.begin(
        Identity("tokens", "tokenize", 1, {"seed": seed}, {"tokenizer": tokenizer_manifest.digest})
    )
    splits = {
        "train": write_split(writer.file, "train", train),
        "val": write_split(writer.file, "val", val),
    }
    rows = sum(split["documents"] for split in splits.values())
    details = {
        "dtype": "uint16", "vocab_size": BYTES_VOCAB, "eos_id": 256, "tokenizer": tokenizer_manifest.digest[:12], "tokenizer_type": "bytes",
        "splits": splits,
    }  # fmt: skip
    writer.commit(
        Counts(
            rows, rows, {}, {f"tokens_{name}": split["tokens"] for name, split in splits.items()}
        ),
        details=details,
    )
    train_in_order = [g for number in range(2) for g in train[number::2]]
    val_in_order = [g for number in range(2) for g in val[number::2]]
    return Tokens(lake, tokenizer_writer.artifact, writer.artifact, train_in_order, val_in_order)


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    """A small lake of its own for the test."""
    return write_tokens(str(tmp_path / "lake"))


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


def full(artifact: Artifact) -> Artifact:
    """The reference with the manifest's whole digest."""
    return Artifact(artifact.lake_root, artifact.kind, artifact.name, artifact.require().digest)


def start_training(task: Task, folder: Path, processes: int) -> Child:
    """Torchrun on the task; the log is `<name>.log` in `folder`."""
    request = folder / f"{task.name}.json"
    request.write_text(json.dumps(task.request()))
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    return Child(
        [*torchrun, "-m", TRAIN.module, str(request)],
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
    """Run the training until an event with all of `at`, then kill every process of it with -9."""
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
