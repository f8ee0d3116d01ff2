"""From signatures to verified pairs to labels, as DataFrames: representatives, LSH buckets,
candidate pairs, exact similarity, components. Texts never travel, only keys, band keys and, for
candidates, shingle sets.

A document is named by `node`, its shard's number and its row in 64 bits (`node_of`).
"""

import functools
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from infra.lake import parquet
from infra.lake.shards import Shard
from jobs.near_duplicates.components import choose, sizes
from jobs.near_duplicates.signatures import VERIFIED, verify_batches
from jobs.spark.places import tasks_for
from jobs.spark.session import Session

LOG = logging.getLogger(__name__)
BATCH_ROWS = 256
NODES = pa.schema([("node", pa.int64()), ("shard", pa.int32()), ("row", pa.int32())])


def node_of() -> Column:
    """shard * 2^32 + row."""
    return F.shiftleft(F.col("shard").cast("long"), 32) + F.col("row")


def _place() -> list[Column]:
    """shard and row of a node."""
    shard = F.shiftright("node", 32).cast("int")
    row = F.col("node").bitwiseAND(F.lit(0xFFFFFFFF)).cast("int")
    return [shard.alias("shard"), row.alias("row")]


def quality() -> list[Column]:
    """The order in which documents are preferred: longest text, then document id, then row id."""
    return [F.col("length").desc(), F.col("doc_id"), F.col("row_id")]


def ranked(signed: DataFrame) -> DataFrame:
    """Each document with the others of its content.

    In: shard, row, row_id, doc_id, length, content, bands. Out: node, row_id, doc_id, length, bands
    (of the best document of a content alone), copies (documents that have this content), best (node
    of the best one), best_id (its doc_id).
    """
    same = Window.partitionBy("content")
    ordered = same.orderBy(*quality())
    rows = signed.select(node_of().alias("node"), "row_id", "doc_id", "length", "content", "bands")
    best = F.first("node").over(ordered)
    made = rows.select(
        "node",
        "row_id",
        "doc_id",
        "length",
        "bands",
        best.alias("best"),
        F.first("doc_id").over(ordered).alias("best_id"),
        F.count(F.lit(1)).over(same).alias("copies"),
    )
    return made.withColumn("bands", F.when(F.col("best") == F.col("node"), F.col("bands")))


def representatives(documents: DataFrame) -> DataFrame:
    """The best document of each content."""
    return documents.where("best = node")


def buckets_of(unique: DataFrame) -> DataFrame:
    """Members of LSH buckets that hold several: band, node, position in order of quality, the
    bucket's first and its size."""
    banded = unique.select("node", "length", "doc_id", "row_id", F.explode("bands").alias("band"))
    whole = Window.partitionBy("band")
    ordered = whole.orderBy(*quality())
    return banded.select(
        "band",
        "node",
        F.row_number().over(ordered).alias("position"),
        F.first("node").over(ordered).alias("first"),
        F.count(F.lit(1)).over(whole).alias("members"),
    ).where("members > 1")


def candidate_pairs(buckets: DataFrame, cap: int) -> DataFrame:
    """Distinct (left, right) nodes with left < right: all pairs of a bucket up to `cap` members,
    those with the best of a larger one."""
    small = buckets.where(F.col("members") <= cap).groupBy("band")
    members = small.agg(F.sort_array(F.collect_list("node")).alias("all"))

    def with_later(left: Column, i: Column) -> Column:
        later = F.slice("all", i + 2, F.size("all"))
        return F.transform(later, lambda right: F.struct(left.alias("left"), right.alias("right")))

    pairs = F.explode(F.flatten(F.transform("all", with_later))).alias("pair")
    each = members.select("all").distinct().select(pairs).select("pair.left", "pair.right")
    hot = buckets.where((F.col("members") > cap) & (F.col("position") > 1))
    star = hot.select(
        F.least("first", "node").alias("left"), F.greatest("first", "node").alias("right")
    )
    return each.union(star).distinct()


def ends_of(pairs: DataFrame) -> DataFrame:
    """node, shard and row of the documents in pairs, once for each pair."""
    nodes = pairs.select(F.explode(F.array("left", "right")).alias("node"))
    return nodes.select("node", *_place())


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


def verified(pairs: DataFrame, shingles: DataFrame, threshold: float) -> DataFrame:
    """The `VERIFIED` pairs at or above the threshold. shingles: node, shingles."""
    left = shingles.select(F.col("node").alias("left"), F.col("shingles").alias("left_shingles"))
    right = shingles.select(F.col("node").alias("right"), F.col("shingles").alias("right_shingles"))
    both = pairs.join(left, "left").join(right, "right")
    return both.mapInArrow(functools.partial(verify_batches, threshold=threshold), VERIFIED)


def near_labels(
    session: Session, unique: DataFrame, edges: pa.Table
) -> tuple[DataFrame, dict[str, int]]:
    """For each representative with a near-duplicate: best, cluster (doc_id), cluster_size,
    near_jaccard, near (whether it is removed); and counts.

    The verified pairs and their documents are on the driver: see
    `jobs.near_duplicates.components` for the memory.
    """
    ends = pa.concat_arrays([edges["left"].combine_chunks(), edges["right"].combine_chunks()])
    names = session.spark.createDataFrame(pa.table({"node": pc.unique(ends)}))
    chosen = unique.join(F.broadcast(names), "node", "left_semi").orderBy(*quality())
    nodes = chosen.select("node", "doc_id", "copies").toArrow().combine_chunks()
    left, right = (
        pc.index_in(edges[side], nodes["node"].combine_chunks()).to_numpy().astype(np.int64)
        for side in ("left", "right")
    )
    clusters = choose(nodes.num_rows, left, right, edges["jaccard"].to_numpy())
    copies = nodes["copies"].to_numpy().astype(np.int64)
    table = pa.table(
        {
            "best": nodes["node"],
            "cluster": nodes["doc_id"].take(pa.array(clusters.first)),
            "cluster_size": sizes(clusters, copies),
            "near_jaccard": clusters.jaccard,
            "near": ~clusters.kept,
        }
    )
    counts = {"near_pairs": edges.num_rows, "near_clusters": len(np.unique(clusters.first))}
    return session.spark.createDataFrame(table), counts


def labelled(documents: DataFrame, near: DataFrame) -> DataFrame:
    """shard, row and dup of each document that has a duplicate, kept or not."""
    rows = documents.join(F.broadcast(near), "best", "left").where("copies > 1 OR near IS NOT NULL")
    reason = F.when(F.col("best") != F.col("node"), "exact").when(F.col("near"), "near")
    similarity = F.when(reason.isNotNull(), F.coalesce("near_jaccard", F.lit(1.0)))
    dup = F.struct(
        F.coalesce("cluster", "best_id").alias("cluster"),
        F.coalesce("cluster_size", "copies").cast("int").alias("size"),
        similarity.cast("float").alias("jaccard"),
        reason.alias("reason"),
    )
    return rows.select(*_place(), dup.alias("dup"))


def bucket_report(buckets: DataFrame, cap: int) -> dict[str, Any]:
    """How many buckets were too large to compare all pairs, and how large they get; logged when
    there are any."""
    heads = buckets.where("position = 1")
    capped = F.col("members") > cap
    row = heads.agg(
        F.count(F.lit(1)).alias("buckets"),
        F.count(F.when(capped, 1)).alias("capped_buckets"),
        F.max("members").alias("largest_bucket"),
    ).first()
    names = ("buckets", "capped_buckets", "largest_bucket")
    report = {name: int((row and row[name]) or 0) for name in names}
    if report["capped_buckets"]:
        LOG.warning(
            "%(capped_buckets)d of %(buckets)d buckets are over the cap,"
            " the largest has %(largest_bucket)d members",
            report,
        )
    return report


def kept_for_the_step(frame: DataFrame) -> DataFrame:
    """The frame, computed once: on the executors' disks, again where one is lost."""
    return frame.persist(StorageLevel.DISK_ONLY)
