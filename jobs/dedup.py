"""Remove duplicates: equal normalised texts first, then near-duplicates, each verified against a kept document.

In: a `documents` or `clean` artifact. Out: the same columns and dup struct<cluster, size, jaccard, reason>; removed rows, with the same
columns, go to `rejected/` with reject_reason `exact_duplicate` or `near_duplicate`.
    cluster  doc_id of the best document of the component (longest text, then doc_id); one's own for a unique document
    size     documents in the component, exact copies included
    jaccard  similarity to the kept document that removes this one; null for a kept row
    reason   `exact`, `near`; null for a kept row

The way: sign texts -> one representative a content -> LSH buckets -> candidate pairs -> exact Jaccard -> components (driver) -> labels.
Promises: a near-duplicate is removed only if a kept document of its cluster has Jaccard >= threshold to it (an exact copy follows
its representative); of the compared pairs none at the threshold stays with both kept; the result does not depend on cores or row
order. A pair of similarity s is missed with probability (1 - s^rows)^bands (`jobs.near_duplicates.minhash`); in a bucket of more than `bucket_cap`
members each is compared with the best one alone, which the manifest's details count. The step fails when a source loses more than
`max_source_loss` of its documents.
"""

import functools
import logging
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from infra.errors import GristmillError
from infra.lake import Artifact, Writer
from infra.manifest import Manifest
from infra.parameters import option, parameters
from infra.step import Step, Task
from jobs.near_duplicates.components import choose, sizes
from jobs.near_duplicates.signatures import SIGNED, VERIFIED, sign_batches, verify_batches
from jobs.spark.order import read_spread
from jobs.spark.session import Session

KEY = ("doc_id", "warc_file", "warc_offset")
LOG = logging.getLogger(__name__)


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


STEP = Step(
    name="dedup",
    kind="dedup",
    version=1,
    parameters=DedupParameters,
    inputs=("documents",),
    module="jobs.dedup",
)


def run(session: Session, task: Task) -> Manifest:
    """Execute the step. Raises GristmillError when a source loses too much or rows do not add up."""
    p: DedupParameters = task.parameters
    documents = task.inputs["documents"]
    rows_in = documents.require().counts.rows_out
    writer = task.lake.begin(task.identity, task.name)
    signed = session.checkpoint(writer, "signatures", signatures(session, documents, p))
    unique = session.checkpoint(writer, "representatives", representatives(signed))
    buckets = session.checkpoint(writer, "buckets", buckets_of(unique))
    pairs = session.checkpoint(writer, "pairs", candidate_pairs(buckets, p.bucket_cap))
    edges = session.checkpoint(writer, "edges", verified(pairs, unique, p.threshold))
    near, report = near_labels(session, unique, edges)
    labels = session.checkpoint(writer, "labels", labelled(signed, unique, near))
    check_sources(labels, p)
    details = {
        **bucket_report(buckets, p.bucket_cap),
        "candidate_pairs": pairs.count(),
        **report,
    }
    return session.commit_rows(
        task, writer, finished(session, documents, labels, writer), rows_in, details=details
    )


def signatures(session: Session, documents: Artifact, p: DedupParameters) -> DataFrame:
    """One `SIGNED` row a document."""
    texts = read_spread(session, documents, *KEY, "source", "text")
    return texts.mapInArrow(
        functools.partial(
            sign_batches, shingle_words=p.shingle_words, bands=p.bands, rows=p.rows, seed=p.seed
        ),
        SIGNED,
    )


def representatives(signed: DataFrame) -> DataFrame:
    """The best document of each content (longest, then by key), with `copies`, the number of documents that have it."""
    best = signed.groupBy("content").agg(
        F.min(F.struct((-F.col("length")).alias("shortness"), *KEY)).alias("best"),
        F.count(F.lit(1)).alias("copies"),
    )
    return signed.join(best.select(*(F.col(f"best.{name}") for name in KEY), "copies"), list(KEY))


def buckets_of(unique: DataFrame) -> DataFrame:
    """Members of LSH buckets that hold several: band, content, position in order of quality, the bucket's first and its size."""
    banded = unique.select("content", "length", "doc_id", F.explode("bands").alias("band"))
    whole = Window.partitionBy("band")
    ordered = whole.orderBy(*quality())
    return banded.select(
        "band",
        "content",
        F.row_number().over(ordered).alias("position"),
        F.first("content").over(ordered).alias("first"),
        F.count(F.lit(1)).over(whole).alias("members"),
    ).where("members > 1")


def quality() -> list[Column]:
    """The order in which documents are preferred: longest text, then document id."""
    return [F.col("length").desc(), F.col("doc_id"), F.col("content")]


def candidate_pairs(buckets: DataFrame, cap: int) -> DataFrame:
    """Distinct (left, right) contents with left < right: all pairs of a bucket up to `cap` members, those with the best of a larger one."""
    small = (
        buckets.where(F.col("members") <= cap)
        .groupBy("band")
        .agg(F.sort_array(F.collect_list("content")).alias("all"))
    )
    later = F.transform(
        "all",
        lambda left, i: F.transform(
            F.slice("all", i + 2, F.size("all")),
            lambda right: F.struct(left.alias("left"), right.alias("right")),
        ),
    )
    each = (
        small.select("all")
        .distinct()
        .select(F.explode(F.flatten(later)).alias("pair"))
        .select("pair.left", "pair.right")
    )
    hot = buckets.where((F.col("members") > cap) & (F.col("position") > 1))
    star = hot.select(
        F.least("first", "content").alias("left"), F.greatest("first", "content").alias("right")
    )
    return each.union(star).distinct()


def verified(pairs: DataFrame, unique: DataFrame, threshold: float) -> DataFrame:
    """The `VERIFIED` pairs at or above the threshold."""
    left = unique.select(F.col("content").alias("left"), F.col("shingles").alias("left_shingles"))
    right = unique.select(
        F.col("content").alias("right"), F.col("shingles").alias("right_shingles")
    )
    return (
        pairs.join(left, "left")
        .join(right, "right")
        .mapInArrow(functools.partial(verify_batches, threshold=threshold), VERIFIED)
    )


def near_labels(
    session: Session, unique: DataFrame, edges: DataFrame
) -> tuple[DataFrame, dict[str, int]]:
    """For each content with a near-duplicate: cluster, size, near_jaccard, near (whether it is removed); and counts."""
    ends = (
        edges.select(F.col("left").alias("content"))
        .union(edges.select(F.col("right").alias("content")))
        .distinct()
    )
    nodes = (
        unique.join(ends, "content", "left_semi")
        .orderBy(*quality())
        .select("content", "doc_id", "copies")
        .toArrow()
        .combine_chunks()
    )
    found = edges.toArrow()
    left, right = (
        pc.index_in(found[side], nodes["content"]).to_numpy().astype(np.int64)
        for side in ("left", "right")
    )
    chosen = choose(nodes.num_rows, left, right, found["jaccard"].to_numpy())
    table = pa.table(
        {
            "content": nodes["content"],
            "cluster": nodes["doc_id"].take(pa.array(chosen.first)),
            "cluster_size": sizes(chosen, nodes["copies"].to_numpy().astype(np.int64)),
            "near_jaccard": chosen.jaccard,
            "near": ~chosen.kept,
        }
    )
    return session.spark.createDataFrame(table), {
        "near_pairs": found.num_rows,
        "near_clusters": len(np.unique(chosen.first)),
    }


def labelled(signed: DataFrame, unique: DataFrame, near: DataFrame) -> DataFrame:
    """Each document's key, source and `dup`."""
    best = unique.select("content", "copies", F.struct(*KEY).alias("best"))
    rows = (
        signed.select(*KEY, "source", "content").join(best, "content").join(near, "content", "left")
    )
    reason = F.when(F.struct(*KEY) != F.col("best"), "exact").when(F.col("near"), "near")
    similarity = F.when(reason.isNotNull(), F.coalesce("near_jaccard", F.lit(1.0)))
    dup = F.struct(
        F.coalesce("cluster", "best.doc_id").alias("cluster"),
        F.coalesce("cluster_size", "copies").cast("int").alias("size"),
        similarity.cast("float").alias("jaccard"),
        reason.alias("reason"),
    )
    return rows.select(*KEY, "source", dup.alias("dup"))


def check_sources(labels: DataFrame, p: DedupParameters) -> None:
    """Raises GristmillError for a source of at least `min_source_documents` that loses more than `max_source_loss` of them."""
    removed = F.count("dup.reason")
    tally = labels.groupBy("source").agg(
        F.count(F.lit(1)).alias("documents"),
        removed.alias("removed"),
        F.max("dup.size").alias("largest"),
    )
    for row in (
        tally.where(F.col("documents") >= p.min_source_documents).orderBy("source").collect()
    ):
        if row["removed"] > p.max_source_loss * row["documents"]:
            raise GristmillError(
                f"dedup: source '{row['source']}' loses {row['removed']} of {row['documents']} documents (the largest cluster has"
                f" {row['largest']}), more than max_source_loss {p.max_source_loss:g}; check it for boilerplate, or raise max_source_loss"
            )


def bucket_report(buckets: DataFrame, cap: int) -> dict[str, Any]:
    """How many buckets were too large to compare all pairs, and how large they get; logged when there are any."""
    heads = buckets.where("position = 1")
    capped = F.col("members") > cap
    row = heads.agg(
        F.count(F.lit(1)).alias("buckets"),
        F.count(F.when(capped, 1)).alias("capped_buckets"),
        F.max("members").alias("largest_bucket"),
    ).first()
    report = {
        name: int((row and row[name]) or 0)
        for name in ("buckets", "capped_buckets", "largest_bucket")
    }
    if report["capped_buckets"]:
        LOG.warning(
            "%(capped_buckets)d of %(buckets)d buckets are over the cap, the largest has %(largest_bucket)d members",
            report,
        )
    return report


def finished(session: Session, documents: Artifact, labels: DataFrame, writer: Writer) -> DataFrame:
    """The input's rows with `dup` and `reject_reason`."""
    rows = session.read(documents).drop("reject_reason", "dup")
    reject = F.when(F.col("dup.reason").isNotNull(), F.concat("dup.reason", F.lit("_duplicate")))
    joined = rows.join(labels.select(*KEY, "dup"), list(KEY)).select(
        *rows.columns, "dup", reject.alias("reject_reason")
    )
    return session.checkpoint(writer, "rows", joined)
