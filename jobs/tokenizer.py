"""Make the tokenizer from the documents themselves.

In: any artifact with documents. Out: tokenizer.json, loadable with
`tokenizers.Tokenizer.from_file`, and config.json {"type": "bpe" | "bytes" | "chars",
"vocab_size": n, "eos_id": n}; eos_id is -1 for chars, which has no end of text.

A bpe tokenizer is trained on a seeded sample of about `sample_bytes` bytes of text, drawn by a hash
of doc_id: the result depends on neither cores nor row order. bytes needs no document and chars
reads the characters of all. Rows out are the documents used, the others are rejected as
`not_sampled`. The sample passes through the driver, one shard at a time
(`jobs.tokens.vocabulary` has the models).
"""

import json
from collections.abc import Iterator
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import Tokenizer

from infra import storage
from infra.errors import GristmillError
from infra.lake import WORK, Artifact
from infra.lake.parquet import RowsFile, batches
from infra.lake.rows import BATCH_ROWS, Stack, read_rows, stacks_of
from infra.manifest import Counts, Manifest
from infra.parameters import option, parameters
from infra.step import DOCUMENTS, Launch, Rate, Step, Task
from jobs.spark.order import below, keyed_hash
from jobs.spark.parts import attempt_name
from jobs.spark.places import answers_at, rows_at
from jobs.spark.session import Session
from jobs.spark.watched import Part, watched
from jobs.tokens.vocabulary import bytes_tokenizer, chars_tokenizer, end_of_text, train_bpe


@parameters
class TokenizerParameters:
    """What the tokenizer is and what it learns from."""

    type: Literal["bpe", "bytes", "chars"] = option(
        "bpe",
        "bpe: byte-level BPE; bytes: UTF-8 bytes; chars: characters of the corpus",
        source="Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019, 2.2",
    )
    vocab_size: int = option(
        8192,
        "size of a bpe vocabulary with its end of text; the others have their natural size",
        unit="tokens",
        ge=257,
    )
    sample_bytes: int = option(100_000_000, "text to train a bpe tokenizer on", unit="bytes", ge=1)
    seed: int = option(0, "seed of the sample", ge=0)


STEP = Step(
    name="tokenizer",
    kind="tokenizer",
    version=3,
    help="Train the tokenizer.",
    parameters=TokenizerParameters,
    reads=(DOCUMENTS,),
    module="jobs.tokenizer",
    launch=Launch.SPARK,
    rate=Rate(0.003),
    files={
        "tokenizer.json": "the tokenizer, as `tokenizers.Tokenizer.from_file` reads it",
        "config.json": "type, vocab_size and eos_id (-1: no end of text)",
    },
    details={
        "type": "bpe, bytes or chars",
        "vocab_size": "token types",
        "eos_id": "id of the end of text; -1: none",
    },
    reasons={
        "not_sampled": "the tokenizer did not learn from it; later steps read it all the same"
    },
    libraries=("tokenizers",),
)
TEXTS = pa.schema([("text", pa.string())])


def run(session: Session, task: Task) -> Manifest:
    """Execute the step. Raises GristmillError when there is no text to learn from."""
    p: TokenizerParameters = task.parameters
    with task.lake.begin(task.identity, task.name) as writer:
        documents = task.inputs[DOCUMENTS].require()
        if p.type != "bytes" and not documents.counts.extra["bytes_text"]:
            raise GristmillError(
                f"tokenizer: {task.inputs[DOCUMENTS].uri} has no text to learn from;"
                " relax what its funnel rejects (`gristmill show` counts it)"
            )
        folder = f"{writer.artifact.path}/{WORK}/sample"
        tokenizer, used, used_bytes = learn(session, p, documents, folder)
        config = {
            "type": p.type,
            "vocab_size": tokenizer.get_vocab_size(),
            "eos_id": end_of_text(tokenizer),
        }
        storage.write_bytes(writer.file("tokenizer.json"), tokenizer.to_str().encode())
        storage.write_bytes(writer.file("config.json"), (json.dumps(config) + "\n").encode())
        rows_in = documents.counts.rows_out
        missed = rows_in - used
        rejected = {"not_sampled": missed} if missed else {}
        counts = Counts(rows_in, used, rejected, {"sampled_bytes": used_bytes})
        return writer.commit(counts, details=config, spark_application_id=session.application_id)


def learn(
    session: Session, p: TokenizerParameters, documents: Manifest, folder: str
) -> tuple[Tokenizer, int, int]:
    """The tokenizer, and how many documents and bytes it is made from. `folder` takes a sample."""
    if p.type == "bytes":
        return bytes_tokenizer(), 0, 0
    counts, stacks = documents.counts, stacks_of(documents)
    text_bytes = counts.extra["bytes_text"]
    if p.type == "chars":
        with watched(session, STEP.name, Part("characters")):
            return chars_tokenizer(characters(session, stacks)), counts.rows_out, text_bytes
    share = p.sample_bytes / text_bytes
    with watched(session, STEP.name, Part("sample", 1, 2)):
        parts, used, used_bytes = sample(session, stacks, folder, share, p.seed)
    with watched(session, STEP.name, Part(f"merges of {used:,} texts", 2, 2)):
        return train_bpe(_texts(session.root, parts), p.vocab_size), used, used_bytes


def load(artifact: Artifact) -> tuple[Tokenizer, dict[str, int | str]]:
    """The tokenizer of a finished artifact and its config."""
    artifact.require()
    tokenizer = Tokenizer.from_str(storage.read_bytes(artifact.file("tokenizer.json")).decode())
    config: dict[str, int | str] = json.loads(storage.read_bytes(artifact.file("config.json")))
    return tokenizer, config


def sample(
    session: Session, stacks: list[Stack], folder: str, share: float, seed: int
) -> tuple[list[str], int, int]:
    """Write the texts of about this share of the bytes, those of the least hashes and at least one,
    to files in `folder`. Their paths in the order of the shards, documents, bytes."""
    bound = below(share) if share < 1 else None
    answers = _draw(session, stacks, folder, bound, seed)
    if not sum(answer["rows"] for answer in answers):
        least = min(answer["least"] for answer in answers if answer["least"] is not None)
        answers = _draw(session, stacks, folder, least + 1, seed)
    paths = [answer["path"] for answer in answers if answer["rows"]]
    return paths, sum(a["rows"] for a in answers), sum(a["bytes"] for a in answers)


def _draw(
    session: Session, stacks: list[Stack], folder: str, bound: int | None, seed: int
) -> list[dict[str, Any]]:
    root = session.root
    return answers_at(
        session, len(stacks), lambda place: draw_from(root, stacks[place], folder, bound, seed)
    )


def draw_from(root: str, stack: Stack, folder: str, bound: int | None, seed: int) -> dict[str, Any]:
    """Write the texts of one shard whose hash is below `bound` (None: all). Runs in a worker."""
    path = f"{folder}/{attempt_name(f'sample-{stack.shard:05d}')}"
    size, least = 0, None
    with RowsFile(root, path, TEXTS) as file:
        for batch in read_rows(root, stack, ["doc_id", "text", "n_bytes"]):
            order = keyed_hash(batch.column("doc_id"), seed, "sample")
            least = min(int(order.min()), least if least is not None else int(order.min()))
            if bound is not None:
                batch = batch.filter(pa.array(order < bound))
            file.write(batch)
            size += pc.sum(batch.column("n_bytes")).as_py() or 0
    return {"path": path, "rows": file.rows, "bytes": size, "least": least}


def _texts(root: str, paths: list[str]) -> Iterator[str]:
    for path in paths:
        for rows in batches(root, path, ["text"], BATCH_ROWS):
            yield from rows["text"].to_pylist()


def characters(session: Session, stacks: list[Stack]) -> list[str]:
    """Each distinct character of all texts: at most as many as Unicode has."""
    root = session.root

    def work(place: int) -> Iterator[pa.RecordBatch]:
        seen: set[str] = set()
        for rows in read_rows(root, stacks[place], ["text"]):
            seen.update(*rows.column("text").to_pylist())
        yield pa.RecordBatch.from_pydict({"character": pa.array(sorted(seen), pa.string())})

    found = rows_at(session, len(stacks), work, "character string").distinct().collect()
    return [row["character"] for row in found]
