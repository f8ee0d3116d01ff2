"""Documents to packed tokens in a seeded global order, split into train and val.

In: documents, and a tokenizer. Out: Parquet with doc_id, source, tokens (packed little-endian
`dtype`), n_tokens, n_bytes (UTF-8 bytes of the text, for bits per byte), split. Reading a file, or
one of its row groups, takes three lines; `ends` is where each row's tokens end and the next begin:

    column = pq.ParquetFile(path).read_row_group(i, columns=["tokens"])["tokens"].combine_chunks()
    ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
    tokens = np.frombuffer(column.buffers()[2], np.uint8)[ends[0] : ends[-1]].view(dtype)

Rows lie in the order of a seeded hash of doc_id over the whole split, files by name and rows
within, whatever the number of workers; rows of one doc_id in the order of row_id. A file holds one
split. The manifest's details list each file's row groups with their tokens, the dtype and the ids.

Splits: `doc` draws each document by another seeded hash (at least one val document); `tail` cuts
the last `val_fraction` of each document's tokens off (int(n * (1 - val_fraction)) stay), which
gives a document two rows. Rows are accounted in documents: rows_in and rows_out count each once,
details.rows counts Parquet rows; documents without a token are rejected as `no_tokens`.
Why a packed binary column: docs/decisions/0001-packed-tokens.md.
"""

import functools
from typing import Any, Literal

from infra.errors import GristmillError
from infra.lake import Artifact
from infra.lake.rows import stacks_of
from infra.lake.shards import ShardMap
from infra.manifest import SHORT, Counts, FileEntry, Manifest
from infra.parameters import option, parameters
from infra.step import DOCUMENTS, Launch, Rate, Step, Task
from jobs.spark.corpus import WRITTEN, Corpus, Totals, write_ordered, write_rejected
from jobs.spark.documents import layer_files
from jobs.spark.maps import map_shards
from jobs.spark.order import below
from jobs.spark.places import answers_at
from jobs.spark.session import Session
from jobs.spark.watched import Part, watched
from jobs.tokenizer import load
from jobs.tokens.encoding import ENCODED, dtype_of, encode_batches

SPLITS = ("train", "val")
PARTS = 3
LIBRARIES = ("tokenizers",)


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


def maps(task: Task) -> tuple[ShardMap, ...]:
    """Texts to packed tokens; none before the tokenizer is there. A tokenizer counts with its
    content: the same one made twice finds the same shards."""
    p: TokenizeParameters = task.parameters
    manifest = task.inputs["tokenizer"].sound()
    if manifest is None:
        return ()
    tokenizer, config = load(task.inputs["tokenizer"])
    tail = p.val_fraction if p.split_by == "tail" else 0.0
    encode = functools.partial(
        encode_batches, tokenizer_json=tokenizer.to_str(), eos_id=int(config["eos_id"]), tail=tail
    )
    given = {"tokenizer": manifest.content, "tail": tail}
    reads = ("row_id", "doc_id", "source", "text")
    return (
        ShardMap("encoded", 3, given, reads, ENCODED, encode, layer=False, libraries=LIBRARIES),
    )


STEP = Step(
    name="tokenize",
    kind="tokens",
    version=4,
    help="Documents to packed tokens in a seeded global order.",
    parameters=TokenizeParameters,
    reads=(DOCUMENTS, "tokenizer"),
    module="jobs.tokenize",
    launch=Launch.SPARK,
    funnel=True,
    rate=Rate(0.004),
    maps=maps,
    files={"part-*.parquet": "rows of one split in the seeded order, row groups of many tokens"},
    details={
        "dtype": "the packed type of `tokens`, little-endian",
        "vocab_size": "token types of the tokenizer",
        "eos_id": "id of the end of text that closes a document; -1: none",
        "tokenizer": "digest of the tokenizer",
        "tokenizer_type": "bpe, bytes or chars",
        "rows": "rows of all files; a document that `split_by: tail` cuts has two",
        "splits": "train and val: tokens, bytes of text, documents, and the files in order, each"
        " with the tokens of its row groups",
    },
    reasons={"no_tokens": "the tokenizer gives no token for its text"},
    libraries=LIBRARIES,
)


def run(session: Session, task: Task) -> Manifest:
    """Execute the step. Raises GristmillError when a split would be empty or a document was
    lost."""
    p: TokenizeParameters = task.parameters
    tokenizer = task.inputs["tokenizer"]
    with task.lake.begin(task.identity, task.name) as writer:
        tokenizer.require()
        documents = task.inputs[DOCUMENTS].require()
        stacks = stacks_of(documents)
        (encode,) = maps(task)
        encoded = map_shards(session, writer, STEP.name, encode, stacks, 1, PARTS)
        paths = [shard.data.path for shard in encoded]
        corpus = Corpus(session.root, writer.artifact.path, stacks, paths, p.seed)
        fraction = p.val_fraction if p.split_by == "doc" else 0.0
        with watched(session, STEP.name, Part("survey", 2, PARTS)):
            totals = totals_of(session, corpus, fraction)
        if not totals.tokens["train"]:
            raise GristmillError(
                "tokenize: no document is left to train on; give more documents, or split_by tail"
            )
        part = Part(f"global order of {sum(totals.rows.values()):,} rows", 3, PARTS)
        with watched(session, STEP.name, part):
            rejected = write_rejected(session, corpus, totals)
            written = write_ordered(session, corpus, totals, p.file_tokens, p.row_group_tokens)
        folder = f"{writer.artifact.path}/"
        splits = {split: _split_details(totals, split, written, folder) for split in SPLITS}
        files = [FileEntry(**said["file"]) for said in written]
        details = {
            **_tokenizer_details(tokenizer),
            "rows": sum(entry.rows for entry in files),
            "splits": splits,
        }
        counts = Counts(
            documents.counts.rows_out,
            totals.documents,
            {"no_tokens": totals.no_tokens} if totals.no_tokens else {},
            {f"tokens_{split}": totals.tokens[split] for split in SPLITS},
        )
        return writer.commit(
            counts,
            files=[*files, *rejected, *layer_files(encoded, -1)],
            schema=[{"name": f.name, "type": str(f.type)} for f in WRITTEN],
            details=details,
            spark_application_id=session.application_id,
        )


def totals_of(session: Session, corpus: Corpus, val_fraction: float) -> Totals:
    """Tokens, bytes and documents of each split. A share of the documents above nothing gives at
    least one validation document, that of the least hash."""
    totals = Totals.of(answers_at(session, corpus.places, corpus.surveyor(below(val_fraction))))
    if val_fraction and not totals.tokens["val"] and totals.least is not None:
        bound = totals.least + 1
        totals = Totals.of(answers_at(session, corpus.places, corpus.surveyor(bound)))
    return totals


def _split_details(
    totals: Totals, split: str, written: list[dict[str, Any]], folder: str
) -> dict[str, Any]:
    """What `model.data` reads: a split's files in order, each with its row groups' tokens."""
    files = [
        {"path": said["file"]["path"].removeprefix(folder), "row_groups": said["row_groups"]}
        for said in written
        if said["split"] == split
    ]
    return {
        "tokens": totals.tokens[split],
        "bytes": totals.bytes[split],
        "documents": totals.rows[split],
        "files": files,
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
