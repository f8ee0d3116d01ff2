"""Documents to packed tokens in a seeded global order, split into train and val.

In: any artifact with documents, and a tokenizer. Out: Parquet with doc_id, source, tokens (packed little-endian `dtype`), n_tokens, n_bytes
(UTF-8 bytes of the text, for bits per byte), split. Reading a file, or one of its row groups, takes three lines:

    column = pq.ParquetFile(path).read_row_group(i, columns=["tokens"])["tokens"].combine_chunks()
    ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]    # each row's tokens end where the next begin
    tokens = np.frombuffer(column.buffers()[2], np.uint8)[ends[0] : ends[-1]].view(dtype)      # the tokens of all rows

Rows lie in the order of a seeded hash of doc_id over the whole split, files by name and rows within, whatever the number of workers.
A file holds one split. The manifest's details list each file's row groups with their tokens, the dtype and the ids.

Splits: `doc` draws each document by another seeded hash (at least one val document); `tail` cuts the last `val_fraction` of each document's
tokens off (int(n * (1 - val_fraction)) stay), which gives a document two rows. Rows are accounted in documents: rows_in and rows_out count
each once, details.rows counts Parquet rows; documents without a token are rejected as `no_tokens`.
Why a packed binary column: docs/decisions/0001-packed-tokens.md.
"""

import functools
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact, Writer
from infra.manifest import SHORT, Counts, Manifest
from infra.parameters import option, parameters
from infra.step import Step, Task
from jobs.spark.order import below, keyed_hash, read_spread, slot
from jobs.spark.session import Session
from jobs.tokenizer import load
from jobs.tokens.encoding import ENCODED, PASSED, dtype_of, encode_batches

BLOCK_BYTES = 64 << 20
COLUMNS = ("doc_id", "source", "tokens", "n_tokens", "n_bytes", "split")
ROW_ORDER = ("order", "doc_id", "warc_file", "warc_offset")


@parameters
class TokenizeParameters:
    """How documents are split and how the files are cut."""

    val_fraction: float = option(
        0.01, "share of the documents (or of each one's tokens) that validates", ge=0, lt=1
    )
    split_by: Literal["doc", "tail"] = option(
        "doc", "doc: whole documents by hash; tail: the end of each document, for a few long texts"
    )
    seed: int = option(0, "seed of the order and of the split", ge=0)
    file_tokens: int = option(32_000_000, "about how many tokens a file holds", unit="tokens", ge=1)
    row_group_tokens: int = option(
        2_000_000, "about how many tokens a row group holds", unit="tokens", ge=1
    )


STEP = Step(
    name="tokenize",
    kind="tokens",
    version=1,
    parameters=TokenizeParameters,
    inputs=("documents", "tokenizer"),
    module="jobs.tokenize",
)


def run(session: Session, task: Task) -> Manifest:
    """Execute the step. Raises GristmillError when a split would be empty or a document was lost."""
    p: TokenizeParameters = task.parameters
    rows_in = task.inputs["documents"].require().counts.rows_out
    writer = task.lake.begin(task.identity, task.name)
    rows = session.checkpoint(writer, "encoded", encoded(session, task))
    present = rows.where("n_tokens > 0")
    if p.split_by == "doc":
        present = present.withColumn(
            "split", F.when(_validates(present, p), "val").otherwise("train")
        )
    totals = {row["split"]: row for row in _totals(present)}
    if "train" not in totals:
        raise GristmillError(
            "tokenize: no document is left to train on; give more documents, or split_by tail"
        )
    write_ordered(
        session, writer, present, {split: int(row["tokens"]) for split, row in totals.items()}, p
    )
    empty = rows.where("n_tokens = 0").select(*PASSED, F.lit("no_tokens").alias("reject_reason"))
    rejected = empty.count()
    session.write(writer, empty, "rejected", keys=("doc_id", "warc_file", "warc_offset"))
    documents = present.where("part = 0").count()
    splits = {
        split: _split_details(totals.get(split), writer.artifact, split)
        for split in ("train", "val")
    }
    counts = Counts(
        rows_in,
        documents,
        {"no_tokens": rejected} if rejected else {},
        {f"tokens_{split}": splits[split]["tokens"] for split in splits},
    )
    details = {
        **_tokenizer_details(task.inputs["tokenizer"]),
        "rows": sum(int(row["rows"]) for row in totals.values()),
        "splits": splits,
    }
    return writer.commit(
        counts, details=details, spark_application_id=session.spark.sparkContext.applicationId
    )


def encoded(session: Session, task: Task) -> DataFrame:
    """All documents as `ENCODED` rows."""
    p: TokenizeParameters = task.parameters
    tokenizer, config = load(task.inputs["tokenizer"])
    encode = functools.partial(
        encode_batches,
        tokenizer_json=tokenizer.to_str(),
        eos_id=int(config["eos_id"]),
        tail=p.val_fraction if p.split_by == "tail" else 0.0,
    )
    return read_spread(session, task.inputs["documents"], *PASSED, "text").mapInArrow(
        encode, ENCODED
    )


def write_ordered(
    session: Session, writer: Writer, rows: DataFrame, tokens: dict[str, int], p: TokenizeParameters
) -> None:
    """Write the rows in the seeded order, train files before val files; `tokens`: how many each split has.

    A partition is a range of the order, so that files follow each other in it. As the order is random, a row group gets its tokens by a
    limit on rows.
    """
    train_files, val_files = (
        -(-tokens.get(split, 0) // p.file_tokens) for split in ("train", "val")
    )
    place = F.when(F.col("split") == "train", slot(F.col("order"), train_files)).otherwise(
        slot(F.col("order"), val_files) + train_files
    )
    keyed = rows.withColumn("order", keyed_hash(p.seed, "order")).withColumn(
        "place", place.cast("int")
    )
    ordered = keyed.repartitionById(train_files + val_files, "place").sortWithinPartitions(
        *ROW_ORDER
    )
    mean = sum(tokens.values()) / rows.count()
    options = {
        "parquet.block.row.count.limit": str(max(1, round(p.row_group_tokens / mean))),
        "parquet.block.size": str(BLOCK_BYTES),
    }
    session.append(writer, ordered.select(*COLUMNS), **options)


def _validates(present: DataFrame, p: TokenizeParameters) -> Column:
    drawn = keyed_hash(p.seed, "split")
    bound = below(p.val_fraction)
    if p.val_fraction and not present.where(drawn < bound).limit(1).count():
        least = present.agg(F.min(drawn).alias("least")).first()
        bound = least["least"] + 1 if least and least["least"] is not None else bound
    return drawn < F.lit(bound)


def _totals(present: DataFrame) -> list[Any]:
    columns = [
        F.sum("n_tokens").alias("tokens"),
        F.sum("n_bytes").alias("bytes"),
        F.count(F.lit(1)).alias("rows"),
    ]
    return present.groupBy("split").agg(*columns).collect()


def _split_details(total: Any, artifact: Artifact, split: str) -> dict[str, Any]:
    if total is None:
        return {"tokens": 0, "bytes": 0, "documents": 0, "files": []}
    return {
        "tokens": int(total["tokens"]),
        "bytes": int(total["bytes"]),
        "documents": int(total["rows"]),
        "files": row_groups(artifact, split),
    }


def _tokenizer_details(tokenizer: Artifact) -> dict[str, Any]:
    _, config = load(tokenizer)
    size = int(config["vocab_size"])
    return {
        "dtype": dtype_of(size),
        "vocab_size": size,
        "eos_id": config["eos_id"],
        "tokenizer": tokenizer.digest[:SHORT],
        "tokenizer_type": config["type"],
    }


def row_groups(artifact: Artifact, split: str) -> list[dict[str, Any]]:
    """The files of a split in their order, each with the tokens in each of its row groups."""
    files = []
    for info in storage.list_files(artifact.uri):
        if "/" in info.path or not info.path.endswith(".parquet"):
            continue
        with storage.open_read(info.uri) as stream:
            file = pq.ParquetFile(stream)
            groups = [
                file.read_row_group(i, columns=["n_tokens", "split"])
                for i in range(file.num_row_groups)
            ]
        if groups and groups[0]["split"][0].as_py() == split:
            files.append(
                {
                    "path": info.path,
                    "row_groups": [int(np.sum(group["n_tokens"].to_numpy())) for group in groups],
                }
            )
    return files
