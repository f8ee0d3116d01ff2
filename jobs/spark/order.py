"""Where rows go: a seeded order that any number of workers reproduces, and even work for them.

The order comes from xxHash64 of the document id with a seed and a salt, not from row positions, so it is the same on any cluster.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from infra.lake import Artifact
from jobs.spark.session import Session

ORDER_BITS = 63
BYTES_PER_TASK = 32 << 20


def keyed_hash(seed: int, salt: str, column: str = "doc_id") -> Column:
    """A uniform integer in [0, 2^63) for each document; another `salt` gives an independent one."""
    return F.shiftrightunsigned(F.xxhash64(F.lit(salt), F.lit(seed), F.col(column)), 1)


def below(fraction: float) -> int:
    """The bound under which `fraction` of the values of `keyed_hash` lie."""
    return min(int(fraction * 2**ORDER_BITS), 2**ORDER_BITS - 1)


def slot(order: Column, slots: int) -> Column:
    """Which of `slots` equal, consecutive ranges (fewer than 2^31) the order falls into: floor(order * slots / 2^63)."""
    return F.shiftright(F.shiftright(order, 32) * F.lit(slots).cast("long"), 31)


def read_spread(session: Session, artifact: Artifact, *columns: str) -> DataFrame:
    """The artifact's rows dealt out by document id, so that all cores work however few files there are."""
    size_bytes = sum(entry.size_bytes for entry in artifact.require().data_files())
    tasks = max(2 * session.spark.sparkContext.defaultParallelism, -(-size_bytes // BYTES_PER_TASK))
    return session.read(artifact, *columns).repartition(tasks, "doc_id")
