"""Small artifacts for the model's tests, written with pyarrow and infra alone, as the steps that
come before would write them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn

from infra import storage
from infra.lake import Artifact, Lake
from infra.manifest import SHORT, Counts, Identity
from infra.parameters import plain
from model.checkpoint.tensors import write_tensors
from model.config import ModelConfig

BYTES_VOCAB = 257
SOURCES = ("web", "books")
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
Groups = list[list[np.ndarray]]


@dataclass(frozen=True)
class Tokens:
    """A lake with a bytes tokenizer and a tokens artifact.

    train, val  the documents that went in: row groups in the order of the files, rows in order
    """

    lake: Lake
    tokenizer: Artifact
    tokens: Artifact
    train: Groups
    val: Groups


def full(artifact: Artifact) -> Artifact:
    """The reference with the manifest's whole digest."""
    return Artifact(artifact.lake_root, artifact.kind, artifact.name, artifact.require().digest)


def random_text(rng: np.random.Generator, size: int) -> np.ndarray:
    """Bytes with something to learn: a random walk over a few letters."""
    return (97 + np.cumsum(rng.choice([-1, 1], size=size)) % 16).astype(np.uint16)


def write_tokens(
    root: str, seed: int = 0, train_groups: int = 5, documents: int = 6, size: int = 400
) -> Tokens:
    """A lake at `root` with tokenizer and tokens; document lengths vary around `size`."""
    lake = Lake.at(root)
    tokenizer = write_tokenizer(lake)
    rng = np.random.default_rng(seed)

    def group() -> list[np.ndarray]:
        sizes = rng.integers(size // 2, size * 3 // 2, documents)
        return [np.append(random_text(rng, int(n)), np.uint16(256)) for n in sizes]

    train, val = [group() for _ in range(train_groups)], [group() for _ in range(2)]
    digest = tokenizer.require().digest
    writer = lake.begin(Identity("tokens", "tokenize", 1, {"seed": seed}, {"tokenizer": digest}))
    splits = {
        "train": write_split(writer.file, "train", train),
        "val": write_split(writer.file, "val", val),
    }
    rows = sum(split["documents"] for split in splits.values())
    details = {
        "dtype": "uint16",
        "vocab_size": BYTES_VOCAB,
        "eos_id": 256,
        "tokenizer": digest[:SHORT],
        "tokenizer_type": "bytes",
        "splits": splits,
    }
    counts = {f"tokens_{name}": split["tokens"] for name, split in splits.items()}
    writer.commit(Counts(rows, rows, {}, counts), details=details)
    train_in_order = [g for number in range(2) for g in train[number::2]]
    val_in_order = [g for number in range(2) for g in val[number::2]]
    return Tokens(lake, tokenizer, writer.artifact, train_in_order, val_in_order)


def write_tokenizer(lake: Lake) -> Artifact:
    """A tokenizer whose tokens are bytes, and an end of text."""
    writer = lake.begin(Identity("tokenizer", "tokenizer", 1, {"type": "bytes"}, {}))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {**{char: code for code, char in enumerate(alphabet)}, "<eos>": 256}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    storage.write_bytes(writer.file("tokenizer.json"), tokenizer.to_str().encode())
    config = {"type": "bytes", "vocab_size": BYTES_VOCAB, "eos_id": 256}
    storage.write_bytes(writer.file("config.json"), json.dumps(config).encode())
    writer.commit(Counts(), details=config)
    return writer.artifact


def write_split(
    writer_file: Callable[..., str], split: str, groups: Groups, files: int = 2
) -> dict[str, Any]:
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


def write_checkpoint(
    lake: Lake,
    model: nn.Module,
    config: ModelConfig,
    inputs: dict[str, str],
    details: dict[str, Any],
) -> Artifact:
    """A checkpoints artifact with `model` as its final model; `inputs`: role -> digest."""
    writer = lake.begin(Identity("checkpoints", "train", 1, plain(config), inputs))
    weights = [(name, parameter.detach()) for name, parameter in model.named_parameters()]
    with storage.open_write(writer.file("model.safetensors")) as stream:
        write_tensors(
            stream,
            [(name, w.dtype, tuple(w.shape)) for name, w in weights],
            (w for _, w in weights),
        )
    storage.write_bytes(writer.file("model.json"), json.dumps(plain(config)).encode())
    writer.commit(Counts(), details=details)
    return writer.artifact
