"""Remove duplicates: equal normalised texts first, then near-duplicates, each verified against a
kept document.

In: documents. Out: a layer that lists, by shard and row, the kept documents with row_id, doc_id,
url and dup struct<cluster, size, jaccard, reason>; removed ones, with the same columns and a
reject_reason `exact_duplicate` or `near_duplicate`, are in `_rejected/`.
    cluster  doc_id of the best document of the component (longest text, then doc_id, then row_id);
             one's own for a unique document
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
from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame

from infra.errors import GristmillError
from infra.lake.rows import stacks_of
from infra.lake.shards import Shard, ShardMap
from infra.manifest import Counts, FileEntry, Manifest
from infra.parameters import option, parameters
from infra.step import DOCUMENTS, Launch, Rate, Step, Task
from jobs.near_duplicates.signatures import SIGNED, sign_batches
from jobs.spark import graph
from jobs.spark.documents import (
    layer_files,
    layers_in,
    rows_of_shards,
    schema_of,
)
from jobs.spark.listed import write_listed
from jobs.spark.maps import map_shards
from jobs.spark.session import Session
from jobs.spark.watched import Part, watched

PARTS = 6

READS = ("row_id", "doc_id", "text")

LIBRARIES = ("python",)
"""What says what a word is."""


BRODER = "Broder 1997, On the resemblance and containment of documents, section 4"
BANDS = "Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4.2"


@parameters
class DedupParameters:
    """What counts as a duplicate, and how hard to look."""

    threshold: float = option(
        0.8,
        "Jaccard similarity from which two documents are duplicates",
        source=BRODER,
        gt=0,
        le=1,
    )
    shingle_words: int = option(
        5,
        "length of the compared word n-grams; shorter texts are exact duplicates or none",
        unit="words",
        source=BRODER,
        ge=1,
    )
    bands: int = option(
        24, "LSH bands: more find more pairs and cost more", source=BANDS, ge=1, le=1000
    )
    rows: int = option(
        6, "MinHash values a band: more give fewer candidates", source=BANDS, ge=1, le=100
    )
    seed: int = option(0, "seed of the hash functions", ge=0)
    bucket_cap: int = option(
        100,
        "bucket size above which members are compared with the bucket's best alone",
        unit="documents",
        ge=2,
    )
    max_source_loss: float = option(
        0.95,
        "fail when a source loses more than this share of its documents; looked at when they are"
        " deduplicated",
        identity=False,
        ge=0,
        le=1,
    )
    min_source_documents: int = option(
        100,
        "smallest source that max_source_loss looks at",
        unit="documents",
        identity=False,
        ge=1,
    )


def maps(task: Task) -> tuple[ShardMap, ...]:
    """Texts to signatures."""
    p: DedupParameters = task.parameters
    given = {name: getattr(p, name) for name in ("shingle_words", "bands", "rows", "seed")}
    sign = functools.partial(sign_batches, **given)
    return (
        ShardMap("signatures", 3, given, READS, SIGNED, sign, layer=False, libraries=LIBRARIES),
    )


STEP = Step(
    name="dedup",
    kind="dedup",
    version=4,
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
    files={"part-*.parquet": "which rows it keeps, one file for a range of shards"},
    details={
        "buckets": "LSH buckets of two or more documents",
        "capped_buckets": "those above `bucket_cap`",
        "largest_bucket": "documents in the largest",
        "candidate_pairs": "pairs that were compared",
        "near_pairs": "pairs whose similarity reaches the threshold",
        "near_clusters": "connected components of these pairs",
    },
    reasons={
        "exact_duplicate": "its normalised text is that of another document",
        "near_duplicate": "its similarity to a kept document of its cluster reaches the threshold",
    },
    libraries=LIBRARIES,
)


def run(session: Session, task: Task) -> Manifest:
    """Execute the step. Raises GristmillError when a source loses too much or rows do not add
    up."""
    p: DedupParameters = task.parameters
    (sign,) = maps(task)
    with task.lake.begin(task.identity, task.name) as writer:
        documents = task.inputs[DOCUMENTS].require()
        stacks, inherited = stacks_of(documents), documents.data_files()
        rows_in = documents.counts.rows_out
        signed = map_shards(session, writer, STEP.name, sign, stacks, 1, PARTS)
        labels, details = duplicates(session, signed, p)
        folder, layer = writer.artifact.path, layers_in(inherited)
        with watched(session, STEP.name, Part(f"list of {rows_in:,} rows", 6, PARTS)):
            written = write_listed(session, folder, stacks, labels, rows_in, layer)
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
        ["row", "row_id", "doc_id", "length", "content", "bands"],
        "shard int, row int, row_id binary, doc_id binary, length long, content binary,"
        " bands array<long>",
    )
    documents = graph.kept_for_the_step(graph.ranked(light))
    unique = graph.representatives(documents)
    buckets = graph.kept_for_the_step(graph.buckets_of(unique))
    with watched(session, STEP.name, Part("equal texts and bands", 2, PARTS)):
        report = graph.bucket_report(buckets, p.bucket_cap)
    candidates = graph.kept_for_the_step(graph.candidate_pairs(buckets, p.bucket_cap))
    with watched(session, STEP.name, Part(f"pairs of {report['buckets']:,} buckets", 3, PARTS)):
        pairs = candidates.count()
    ends = graph.ends_of(candidates)
    shingles = graph.kept_for_the_step(graph.shingles_at(session, signed, ends))
    with watched(session, STEP.name, Part(f"exact similarity of {pairs:,} pairs", 4, PARTS)):
        edges = graph.verified(candidates, shingles, p.threshold).toArrow()
    with watched(session, STEP.name, Part(f"clusters of {edges.num_rows:,} pairs", 5, PARTS)):
        near, counts = graph.near_labels(session, unique, edges)
    return graph.labelled(documents, near), {**report, "candidate_pairs": pairs, **counts}


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
