"""Make the tokenizer from the documents themselves: `tokenizer.json` (Hugging Face `tokenizers`) and `config.json`.

In: any artifact with documents. Out: tokenizer.json, loadable with `tokenizers.Tokenizer.from_file`, and config.json
{"type": "bpe" | "bytes" | "chars", "vocab_size": n, "eos_id": n}; eos_id is -1 for chars, which has no end of text.

A bpe tokenizer is trained on a seeded sample of about `sample_bytes` bytes of text, drawn by a hash of doc_id: the result depends
on neither cores nor row order. bytes needs no document and chars reads the characters of all. Rows out are the documents used, the
others are rejected as `not_sampled`. The sample passes through the driver, one partition at a time (`jobs.tokens.vocabulary` has the models).
"""

import json
from collections.abc import Iterator
from typing import Literal

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from tokenizers import Tokenizer

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact
from infra.manifest import Counts, Manifest
from infra.parameters import option, parameters
from infra.step import Step, Task
from jobs.spark.order import below, keyed_hash, read_spread
from jobs.spark.session import Session
from jobs.tokens.vocabulary import bytes_tokenizer, chars_tokenizer, end_of_text, train_bpe


@parameters
class TokenizerParameters:
    """What the tokenizer is and what it learns from."""

    type: Literal["bpe", "bytes", "chars"] = option(
        "bpe", "bpe: byte-level BPE; bytes: UTF-8 bytes; chars: characters of the corpus"
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
    version=1,
    parameters=TokenizerParameters,
    inputs=("documents",),
    module="jobs.tokenizer",
)


def run(session: Session, task: Task) -> Manifest:
    """Execute the step. Raises GristmillError when there is no text to learn from."""
    p: TokenizerParameters = task.parameters
    documents = task.inputs["documents"]
    rows_in = documents.require().counts.rows_out
    writer = task.lake.begin(task.identity, task.name)
    texts = read_spread(session, documents, "doc_id", "text").where("text is not null")
    used, used_bytes = 0, 0
    if p.type == "bytes":
        tokenizer = bytes_tokenizer()
    elif p.type == "chars":
        used, used_bytes = _size(texts)
        tokenizer = chars_tokenizer(_characters(texts))
    else:
        chosen = sample(texts, p.sample_bytes, p.seed)
        used, used_bytes = _size(chosen)
        tokenizer = train_bpe(_texts(chosen), p.vocab_size)
    if p.type != "bytes" and not used_bytes:
        raise GristmillError(
            f"tokenizer: {documents.uri} has no text to learn from; relax what its rejected/ rows name"
        )
    config = {
        "type": p.type,
        "vocab_size": tokenizer.get_vocab_size(),
        "eos_id": end_of_text(tokenizer),
    }
    storage.write_bytes(writer.file("tokenizer.json"), tokenizer.to_str().encode())
    storage.write_bytes(writer.file("config.json"), (json.dumps(config) + "\n").encode())
    missed = rows_in - used
    counts = Counts(
        rows_in, used, {"not_sampled": missed} if missed else {}, {"sampled_bytes": used_bytes}
    )
    return writer.commit(
        counts, details=config, spark_application_id=session.spark.sparkContext.applicationId
    )


def load(artifact: Artifact) -> tuple[Tokenizer, dict[str, int | str]]:
    """The tokenizer of a finished artifact and its config."""
    artifact.require()
    tokenizer = Tokenizer.from_str(storage.read_bytes(artifact.file("tokenizer.json")).decode())
    config: dict[str, int | str] = json.loads(storage.read_bytes(artifact.file("config.json")))
    return tokenizer, config


def sample(texts: DataFrame, sample_bytes: int, seed: int) -> DataFrame:
    """All documents, or those of the least hashes that hold about `sample_bytes` of text; at least one."""
    total = _size(texts)[1]
    if total <= sample_bytes:
        return texts
    order = keyed_hash(seed, "sample")
    drawn = texts.where(order < below(sample_bytes / total))
    return drawn if drawn.limit(1).count() else texts.orderBy(order, "doc_id").limit(1)


def _size(texts: DataFrame) -> tuple[int, int]:
    row = texts.agg(
        F.count(F.lit(1)).alias("documents"), F.sum(F.octet_length("text")).alias("bytes")
    ).first()
    return (int(row["documents"]), int(row["bytes"] or 0)) if row else (0, 0)


def _texts(texts: DataFrame) -> Iterator[str]:
    return (row["text"] for row in texts.select("text").toLocalIterator(prefetchPartitions=True))


def _characters(texts: DataFrame) -> list[str]:
    found = (
        texts.select("text").mapInArrow(character_batches, "character string").distinct().collect()
    )
    return [row["character"] for row in found]


def character_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """In: text. Out: character, each distinct one of the partition once."""
    seen: set[str] = set()
    for batch in batches:
        seen.update(*batch.column("text").to_pylist())
    yield pa.RecordBatch.from_pydict({"character": pa.array(sorted(seen), pa.string())})
