"""Remove duplicates: equal normalised texts first, then near-duplicates, each verified against a
kept document.

In: documents. Out: a layer that lists, by shard and row, the kept documents with doc_id, url and
dup struct<cluster, size, jaccard, reason>; removed ones, with the same columns and a reject_reason
`exact_duplicate` or `near_duplicate`, are in `rejected/`.
    cluster  doc_id of the best document of the component (longest text, then doc_id); one's own
             for a unique document
    size     documents in the component, exact copies included
    jaccard  similarity to the kept document that removes this one; null for a kept row
    reason   `exact`, `near`; null for a kept row

The way: sign texts, shard by shard -> the best document of each content -> LSH buckets -> candidate
pairs -> exact Jaccard -> components (driver) -> labels.
Promises: a near-duplicate is removed only if a kept document of its cluster has Jaccard >=
threshold to it (an exact copy follows its representative); of the compared pairs none at the
threshold stays with both kept; the result does not depend on cores or row order. A pair of
similarity s is missed with probability (1 - s^rows)^bands (`jobs.near_duplicates.minhash`); in a
bucket of more than `bucket_cap` members each is compared with the best one alone, which the
manifest's details count. The step fails when a source loses more than `max_source_loss` of its
documents.
"""

import dataclasses
import functools
import operator
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from infra.errors import GristmillError
from infra.lake import parquet
from infra.lake.parquet import RowsFile
from infra.lake.rows import Stack, read_rows, stacks_of
from infra.lake.shards import Shard, ShardMap
from infra.manifest import Counts, FileEntry, Manifest
from infra.parameters import option, parameters
from infra.step import DOCUMENTS, Launch, Rate, Step, Task
from jobs.near_duplicates import pairs
from jobs.near_duplicates.signatures import SIGNED, sign_batches
from jobs.spark.documents import (
    BATCH_ROWS,
    layer_files,
    layers_in,
    numbered,
    rows_of_shards,
    schema_of,
)
from jobs.spark.maps import map_shards, tally
from jobs.spark.parts import attempt_name, write_partitions
from jobs.spark.places import answers_at, tasks_for
from jobs.spark.session import Session

ROWS_PER_FILE = 50_000
DUP = pa.struct(
    [
        ("cluster", pa.binary()),
        ("size", pa.int32()),
        ("jaccard", pa.float32()),
        ("reason", pa.string()),
    ]
)
LISTED = pa.schema(
    [
        ("shard", pa.int32()),
        ("row", pa.int32()),
        ("doc_id", pa.binary()),
        ("url", pa.string()),
        ("dup", DUP),
    ]
)
LABELS = pa.schema([("shard", pa.int32()), ("row", pa.int32()), ("dup", DUP)])
NODES = pa.schema([("node", pa.int64()), ("shard", pa.int32()), ("row", pa.int32())])
REMOVED = LISTED.append(pa.field("reject_reason", pa.string()))
COLUMNS = ("doc_id", "url", "source", "n_bytes")


@parameters
class DedupParameters:
    """What counts as a duplicate, and how hard to look."""

    threshold: float = option(
        0.8, "Jaccard similarity from which two documents are duplicates", gt=0, le=1
    )
    shingle_words: int = option(
        5,
        "length of the compared word n-grams; shorter texts are exact duplicates or none",
        unit="words",
        ge=1,
    )
    bands: int = option(24, "LSH bands: more find more pairs and cost more", ge=1, le=1000)
    rows: int = option(6, "MinHash values a band: more give fewer candidates", ge=1, le=100)
    seed: int = option(0, "seed of the hash functions", ge=0)
    bucket_cap: int = option(
        100,
        "bucket size above which members are compared with the bucket's best alone",
        unit="documents",
        ge=2,
    )
    max_source_loss: float = option(
        0.95, "fail when a source loses more than this share of its documents", ge=0, le=1
    )
    min_source_documents: int = option(
        100, "smallest source that max_source_loss looks at", unit="documents", ge=1
    )


def maps(task: Task) -> tuple[ShardMap, ...]:
    """Texts to signatures."""
    p: DedupParameters = task.parameters
    given = {name: getattr(p, name) for name in ("shingle_words", "bands", "rows", "seed")}
    sign = functools.partial(sign_batches, **given)
    return (ShardMap("signatures", 1, given, ("doc_id", "text"), SIGNED, sign, layer=False),)


STEP = Step(
    name="dedup",
    kind="dedup",
    version=2,
    help="Remove exact and near duplicates.",
    parameters=DedupParameters,
    reads=(DOCUMENTS,),
    role=DOCUMENTS,
    module="jobs.dedup",
    launch=Launch.SPARK,
    funnel=True,
    optional=True,
    rate=Rate(0.01, kept=0.9),
    maps=maps,
)


def run(session: Session, task: Task) -> Manifest:
    """Execute the step. Raises GristmillError when a source loses too much or rows do not add
    up."""
    p: DedupParameters = task.parameters
    (sign,) = maps(task)
    with task.lake.begin(task.identity, task.name) as writer:
        documents = task.inputs[DOCUMENTS].require()
        stacks, inherited = stacks_of(documents), documents.data_files()
        signed = map_shards(session, writer, STEP.name, sign, stacks)
        labels, details = duplicates(session, signed, p)
        folder, layer = writer.artifact.path, layers_in(inherited)
        written = write_listed(session, folder, stacks, labels, documents.counts.rows_out, layer)
        check_sources((said["sources"] for said in written), p)
        own = [FileEntry(**entry) for said in written for entry in said["files"]]
        counts = functools.reduce(
            operator.add, (Counts(**said["counts"]) for said in written), Counts()
        )
        made = stacks_of(dataclasses.replace(documents, files=[*inherited, *own]))
        return writer.commit(
            dataclasses.replace(counts, rows_in=documents.counts.rows_out),
            files=[*inherited, *own, *layer_files(signed, -1)],
            schema=schema_of(task.lake.root, made),
            details=details,
            spark_application_id=session.application_id,
        )


def duplicates(
    session: Session, signed: list[Shard], p: DedupParameters
) -> tuple[DataFrame, dict[str, Any]]:
    """shard, row and dup of every document that has a duplicate; and what the search met."""
    session.shuffle_by(sum(shard.data.size_bytes for shard in signed))
    light = rows_of_shards(
        session,
        signed,
        ["row", "doc_id", "length", "content", "bands"],
        "shard int, row int, doc_id binary, length long, content binary, bands array<long>",
    )
    documents = pairs.kept_for_the_step(pairs.ranked(light))
    unique = pairs.representatives(documents)
    buckets = pairs.kept_for_the_step(pairs.buckets_of(unique))
    candidates = pairs.kept_for_the_step(pairs.candidate_pairs(buckets, p.bucket_cap))
    shingles = pairs.kept_for_the_step(shingles_at(session, signed, pairs.ends_of(candidates)))
    edges = pairs.verified(candidates, shingles, p.threshold).toArrow()
    near, counts = pairs.near_labels(session, unique, edges)
    details = {
        **pairs.bucket_report(buckets, p.bucket_cap),
        "candidate_pairs": candidates.count(),
        **counts,
    }
    return pairs.labelled(documents, near), details


def shingles_at(session: Session, signed: list[Shard], nodes: DataFrame) -> DataFrame:
    """node and shingles of these nodes (node, shard, row), each once. Workers read them from the
    shards: what no pair needs is not shuffled."""
    root = session.root
    paths = [shard.data.path for shard in signed]

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found = list(batches)
        wanted = pa.Table.from_batches(found) if found else NODES.empty_table()
        for shard in pc.unique(wanted["shard"]).sort().to_pylist():
            here = wanted.filter(pc.equal(wanted["shard"], shard)).combine_chunks()
            for rows in parquet.batches(root, paths[shard], ["row", "shingles"], BATCH_ROWS):
                place = pc.index_in(rows.column("row"), here["row"].combine_chunks())
                rows, place = rows.filter(place.is_valid()), place.drop_null()
                node = here["node"].combine_chunks().take(place)
                columns = [node, rows.column("shingles")]
                yield pa.RecordBatch.from_arrays(columns, names=["node", "shingles"])

    placed = nodes.repartition(tasks_for(session, len(paths)), "shard")
    return placed.mapInArrow(read, "node long, shingles binary")


def write_listed(
    session: Session, folder: str, stacks: list[Stack], labels: DataFrame, rows: int, layer: int
) -> list[dict[str, Any]]:
    """Write the kept and the removed rows of each range of shards; counts, files and sources by
    range. How many ranges there are follows from the rows alone, not from the cores."""
    wanted = max(1, min(len(stacks), -(-rows // ROWS_PER_FILE)))
    width = max(1, -(-len(stacks) // wanted))
    files = max(1, -(-len(stacks) // width))
    root = session.root

    def write(number: int, batches: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
        found = list(batches)
        known = pa.Table.from_batches(found) if found else LABELS.empty_table()
        mine = stacks[number * width : (number + 1) * width]
        yield write_range(root, folder, number, mine, known, layer)

    placed = labels.withColumn("place", F.floor(F.col("shard") / width).cast("int"))
    ranges = placed.repartitionById(files, "place").select("shard", "row", "dup")
    written = write_partitions(ranges, write)
    # Spark plans partitions away where no row at all is left: a corpus without a duplicate.
    missing = sorted(set(range(files)).difference(said["range"] for said in written))
    none = LABELS.empty_table()

    def write_without(place: int) -> dict[str, Any]:
        number = missing[place]
        mine = stacks[number * width : (number + 1) * width]
        return write_range(root, folder, number, mine, none, layer)

    return [*written, *answers_at(session, len(missing), write_without)]


def write_range(
    root: str, folder: str, number: int, stacks: list[Stack], labels: pa.Table, layer: int
) -> dict[str, Any]:
    """Write the rows of these shards, a row group a shard. Runs in a worker."""
    name = attempt_name(f"part-{number:05d}")
    sources: dict[str, list[int]] = {}
    counts = Counts()
    kept_file = RowsFile(root, f"{folder}/{name}", LISTED, grouped=True)
    removed_file = RowsFile(root, f"{folder}/rejected/{name}", REMOVED, grouped=True)
    with kept_file as kept, removed_file as removed:
        for stack in stacks:
            known = labels.filter(pc.equal(labels["shard"], stack.shard)).to_pydict()
            dups = dict(zip(known["row"], known["dup"], strict=True))
            for batch in read_rows(root, stack, COLUMNS):
                rows = with_dup(numbered(batch, stack.shard), dups)
                reason = rows.column("reject_reason")
                kept.write(rows.filter(reason.is_null()))
                removed.write(rows.filter(reason.is_valid()))
                counts += tally([rows.column("n_bytes")], [reason])
                count_sources(rows, sources)
            kept.end_group()
            removed.end_group()
    assert kept_file.entry is not None and removed_file.entry is not None
    entries = [
        dataclasses.replace(entry, shard=stacks[0].shard, layer=layer)
        for entry in (kept_file.entry, removed_file.entry)
    ]
    return {
        "range": number,
        "files": [dataclasses.asdict(entry) for entry in entries],
        "counts": dataclasses.asdict(counts),
        "sources": sources,
    }


def with_dup(rows: pa.RecordBatch, dups: dict[int, dict[str, Any]]) -> pa.RecordBatch:
    """The rows with `dup`, by row number where it is known, and `reject_reason`."""
    numbers, doc_ids = rows.column("row").to_pylist(), rows.column("doc_id").to_pylist()
    made = [dups.get(n) or unique_dup(d) for n, d in zip(numbers, doc_ids, strict=True)]
    reasons = [dup["reason"] and f"{dup['reason']}_duplicate" for dup in made]
    return rows.append_column("dup", pa.array(made, DUP)).append_column(
        "reject_reason", pa.array(reasons, pa.string())
    )


def count_sources(rows: pa.RecordBatch, sources: dict[str, list[int]]) -> None:
    """Add the rows to source -> [documents, removed, largest cluster]."""
    for source, dup in zip(
        rows.column("source").to_pylist(), rows.column("dup").to_pylist(), strict=True
    ):
        seen = sources.setdefault(source or "", [0, 0, 0])
        seen[0] += 1
        seen[1] += dup["reason"] is not None
        seen[2] = max(seen[2], dup["size"])


def unique_dup(doc_id: bytes) -> dict[str, Any]:
    """The dup of a document without a duplicate."""
    return {"cluster": doc_id, "size": 1, "jaccard": None, "reason": None}


def check_sources(written: Iterable[dict[str, list[int]]], p: DedupParameters) -> None:
    """Raises GristmillError for a source of at least `min_source_documents` that loses more than
    `max_source_loss` of them. written: source -> [documents, removed, largest cluster] by file."""
    total: dict[str, list[int]] = {}
    for sources in written:
        for source, (documents, removed, largest) in sources.items():
            seen = total.get(source, [0, 0, 0])
            total[source] = [seen[0] + documents, seen[1] + removed, max(seen[2], largest)]
    for source, (documents, removed, largest) in sorted(total.items()):
        if documents >= p.min_source_documents and removed > p.max_source_loss * documents:
            raise GristmillError(
                f"dedup: source '{source}' loses {removed} of {documents} documents (the largest"
                f" cluster has {largest}), more than max_source_loss {p.max_source_loss:g};"
                " check it for boilerplate, or raise max_source_loss"
            )
