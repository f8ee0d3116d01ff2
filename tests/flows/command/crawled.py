"""A small lake, from crawl files to a training, made by the steps' own functions without Spark."""

import dataclasses
import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from infra import storage
from infra.crawl import crawl_digest, sources_of
from infra.lake import Artifact, Lake, shards
from infra.lake.parquet import RowsFile
from infra.lake.rows import Stack, read_rows, stacks_of
from infra.lake.shards import NewShard, ShardMap
from infra.manifest import REJECTED_ROWS, Counts, FileEntry, Identity
from jobs.crawl import MAX_PAGE_BYTES
from jobs.crawl.bundles import Bundle, Piece
from jobs.extract import KEPT, Extract
from jobs.filter import DECISION, SIGNALS_SCHEMA, add_signals, decide_batches
from jobs.spark import listed
from jobs.spark.corpus import REJECTED, WRITTEN
from jobs.spark.documents import layer_files, layers_in, schema_of

SITE = "https://mill.example/"
GRIST = "The miller grinds the grain of the village into flour, slowly and with great care. "
CRAWL = {
    "a-00000.jsonl": {
        "flour": GRIST * 3,
        "short": "Too short.",
        "empty": "",
        "news": "On Monday the wheel of the old mill at the river turned again for visitors.",
        "twin": "Two copies of this page were stored, and nobody ever took one of them out.",
    },
    "b-00000.jsonl": {
        "copy": GRIST * 3 + "Every day.",
        "leaked": "Which river drives the wheel of the mill? The answer is in this very text.",
        "news": "On Tuesday the wheel of the old mill stood still, and no visitor came at all.",
        "silent": "A text of enough words that the tokenizer of this test leaves without a token.",
        "twin": "Two copies of this page were stored, and nobody ever took one of them out.",
    },
}
RULES = {"long_enough": "n_words >= 5 AND word_count >= 5 AND text IS NOT NULL"}
CONTEXT, BATCH, SEED, STEPS, FINAL = 4, 2, 3, 30, 5
"""The training: tokens a sequence predicts, sequences a step, seed, steps, final weights' step."""


def crawled(root: Path) -> Lake:
    """The lake, whole."""
    lake = Lake.at(str(root / "lake"))
    for file, pages in CRAWL.items():
        rows = [json.dumps({"url": SITE + name, "text": text}) for name, text in pages.items()]
        (root / file).write_text("\n".join(rows))
    documents = extracted(lake, str(root))
    clean = layered(lake, documents, "clean/filter", filters(), {"rules": RULES})
    unique = deduplicated(lake, clean)
    last = layered(lake, unique, "apart/decontaminate", [overlaps()], {})
    trained(lake, tokenized(lake, last))
    return lake


def made(lake: Lake, place: str, inputs: dict[str, Artifact], **parameters: Any) -> Any:
    """A writer of an artifact; `place`: kind/step."""
    kind, step = place.split("/")
    digests = {role: artifact.require().digest for role, artifact in inputs.items()}
    return lake.begin(Identity(kind, step, 1, parameters, digests))


def extracted(lake: Lake, folder: str) -> Artifact:
    """Two shards, one a crawl file."""
    sources = sources_of([f"{folder}/*.jsonl"], lake.root)
    writer = lake.begin(Identity("documents", "extract", 1, {}, {"crawl": crawl_digest(sources)}))
    built = []
    for number, s in enumerate(sources):
        bundle = Bundle((Piece(s),))
        extract = Extract(bundle, MAX_PAGE_BYTES, 1)
        built.append(shards.make(lake.root, f"extract/{number:032x}", extract)[0])
    counts = functools.reduce(lambda left, right: left + right, (each.counts for each in built))
    schema = [{"name": field.name, "type": str(field.type)} for field in KEPT]
    crawl = [
        {"uri": s.uri, "bytes": s.size_bytes, "key": s.key.hex(), "content": s.content}
        for s in sources
    ]
    writer.commit(counts, files=layer_files(built, 0), schema=schema, details={"crawl": crawl})
    return writer.artifact


def filters() -> list[ShardMap]:
    """The maps of the filter, with RULES."""
    decide = functools.partial(decide_batches, named=RULES, languages=[])
    return [
        ShardMap("signals", 1, {}, ("text",), SIGNALS_SCHEMA, add_signals),
        ShardMap("filter", 1, RULES, ("lang", "n_words", "text", "signals"), DECISION, decide),
    ]


def overlaps() -> ShardMap:
    """A step that no list of steps names: it drops what answers the question, and says how much."""
    schema = pa.schema([("overlap", pa.int32()), ("reject_reason", pa.string())])

    def apply(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            found = ["The answer" in text for text in batch.column("text").to_pylist()]
            rows = [{"overlap": 13 * f, "reject_reason": "in_a_test" if f else None} for f in found]
            yield pa.RecordBatch.from_pylist(rows, schema)

    return ShardMap("overlaps", 1, {}, ("text",), schema, apply)


def layered(
    lake: Lake, before: Artifact, place: str, maps: Sequence[ShardMap], parameters: dict[str, Any]
) -> Artifact:
    """A step that adds the layers of these maps."""
    manifest = before.require()
    files = [entry for entry in manifest.files if not entry.is_rejected]
    for each in maps:
        stacks = stacks_of(dataclasses.replace(manifest, files=files))
        names = [each.shard_name(stack.names) for stack in stacks]
        builds = [functools.partial(fill, lake.root, each, stack) for stack in stacks]
        built = [shards.make(lake.root, *pair)[0] for pair in zip(names, builds, strict=True)]
        files = [*files, *layer_files(built, layers_in(files))]
    writer = made(lake, place, {"documents": before}, **parameters)
    schema = schema_of(lake.root, stacks_of(dataclasses.replace(manifest, files=files)))
    writer.commit(Counts(), files=files, schema=schema)
    return Artifact(lake.root, writer.artifact.kind, "default", writer.artifact.digest)


def fill(root: str, shard_map: ShardMap, stack: Stack, new: NewShard) -> Counts:
    """What a map makes of a shard."""
    with new.rows(shard_map.schema) as file:
        for batch in shard_map.apply(read_rows(root, stack, shard_map.reads, keyed=False)):
            file.write(batch)
    return Counts(file.rows, file.rows)


def deduplicated(lake: Lake, before: Artifact) -> Artifact:
    """`copy` is a near-duplicate of `flour`; the twins are missed."""
    manifest = before.require()
    stacks = stacks_of(manifest)
    found = {
        row["url"].removeprefix(SITE): (stack.shard, row["row"], row["doc_id"])
        for stack in stacks
        for batch in read_rows(lake.root, stack, ["url", "doc_id"])
        for row in batch.to_pylist()
    }
    best = found["flour"][2]
    kept = {"cluster": best, "size": 2, "jaccard": None, "reason": None}
    near = {"cluster": best, "size": 2, "jaccard": 0.9, "reason": "near"}
    labels = [(*found["flour"][:2], kept), (*found["copy"][:2], near)]
    rows = [dict(zip(listed.LABELS.names, label, strict=True)) for label in labels]
    writer = made(lake, "dedup/dedup", {"documents": before}, threshold=0.8)
    table = pa.Table.from_pylist(rows, listed.LABELS)
    layer = layers_in(manifest.files)
    said = listed.write_range(lake.root, writer.artifact.path, 0, stacks, table, layer)
    files = [*manifest.files, *(FileEntry(**entry) for entry in said["files"])]
    schema = schema_of(lake.root, stacks_of(dataclasses.replace(manifest, files=files)))
    writer.commit(Counts(**said["counts"]), files=files, schema=schema)
    return Artifact(lake.root, "dedup", "default", writer.artifact.digest)


def tokenized(lake: Lake, documents: Artifact) -> Artifact:
    """Two train files with two row groups, ordered by doc_id; the last document validates too."""
    writer = made(lake, "tokens/tokenize", {"documents": documents})
    left = [
        (row["doc_id"], row["row_id"], stack.shard, row["row"], row["url"])
        for stack in documents.stacks()
        for batch in read_rows(lake.root, stack, ["doc_id", "row_id", "url"])
        for row in batch.to_pylist()
    ]
    (silent,) = (row for row in left if row[-1] == f"{SITE}silent")
    ids = [row[0] for row in sorted(left) if row is not silent]
    cut = {"train": [[ids[:2], ids[2:3]], [ids[3:4], ids[4:]]], "val": [[ids[-1:]]]}
    files, splits = [], {}
    for split, parts in cut.items():
        described = []
        for number, groups in enumerate(parts):
            path = f"part-{split}-{number}.parquet"
            sizes = []
            with RowsFile(
                lake.root, f"{writer.artifact.path}/{path}", WRITTEN, grouped=True
            ) as out:
                for group in groups:
                    rows = [token_row(doc_id, split, 7 + 5 * ids.index(doc_id)) for doc_id in group]
                    out.write(pa.RecordBatch.from_pylist(rows, WRITTEN))
                    out.end_group()
                    sizes.append(sum(row["n_tokens"] for row in rows))
            files.append(out.entry)
            described.append({"path": path, "row_groups": sizes})
        splits[split] = {"files": described}
    path = f"{writer.artifact.path}/{REJECTED_ROWS}/x-0.parquet"
    with RowsFile(lake.root, path, REJECTED) as out:
        row = dict(zip(("doc_id", "row_id", "shard", "row"), silent[:4], strict=True))
        rejected = {**row, "source": "b", "reject_reason": "no_tokens"}
        out.write(pa.RecordBatch.from_pylist([rejected], REJECTED))
    schema = [{"name": field.name, "type": str(field.type)} for field in WRITTEN]
    details = {"splits": splits, "dtype": "uint16"}
    writer.commit(Counts(), files=[*files, out.entry], schema=schema, details=details)
    return Artifact(lake.root, "tokens", "default", writer.artifact.digest)


def token_row(doc_id: bytes, split: str, size: int) -> dict[str, Any]:
    """So many tokens of a document."""
    packed = np.arange(size, dtype="<u2").tobytes()
    row = {"doc_id": doc_id, "source": "a", "tokens": packed, "n_tokens": size, "n_bytes": size}
    return {**row, "split": split}


def trained(lake: Lake, tokens: Artifact) -> None:
    """A training that went on after its best step."""
    shape = {"context_tokens": CONTEXT}
    given = {"model": shape, "global_batch_sequences": BATCH, "seed": SEED}
    writer = made(lake, "checkpoints/train", {"tokens": tokens}, **given)
    storage.write_bytes(writer.file("model.json"), b"{}")
    writer.commit(Counts(), details={"steps": STEPS, "final_step": FINAL, "epochs": 1.5})
