"""The Spark session: checkpoints survive a crash, accounting is enforced, file contents do not
depend on partitions."""

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from infra import storage
from infra.errors import GristmillError
from infra.lake import Lake
from infra.manifest import Identity
from infra.parameters import option, parameters
from infra.step import Step, Task
from jobs.spark.driver import one_line
from jobs.spark.session import Session, configuration, spark_uri


@parameters
class NoParameters:
    """Nothing to declare but a seed."""

    seed: int = option(0, "seed")


STEP = Step("extract", "documents", 1, NoParameters, (), "tests")


def rows(session: Session, n: int, slices: int) -> DataFrame:
    """`n` rows, every third rejected."""
    frame = session.spark.range(0, n, 1, slices).select(
        F.unhex(F.substring(F.md5(F.col("id").cast("string")), 1, 32)).alias("doc_id"),
        F.col("id").alias("value"),
    )
    return frame.withColumn("reject_reason", F.when(F.col("value") % 3 == 0, F.lit("third")))


def write(session: Session, lake: Lake, slices: int, rows_in: int = 100) -> Task:
    """Commit 100 rows read in `slices` partitions."""
    task = Task(STEP, lake, f"n{slices}", NoParameters())
    writer = lake.begin(task.identity, task.name)
    frame = session.checkpoint(writer, "rows", rows(session, 100, slices))
    session.commit_rows(task, writer, frame, rows_in, keys=("doc_id",))
    return task


def test_rows_are_split_into_kept_and_rejected_and_counted_from_the_files(
    session: Session, lake: Lake
) -> None:
    manifest = write(session, lake, 4).artifact.require()
    assert (manifest.counts.rows_in, manifest.counts.rows_out, manifest.counts.rejected) == (
        100,
        66,
        {"third": 34},
    )
    assert sum(entry.rows for entry in manifest.data_files()) == 66


def test_the_result_does_not_depend_on_the_number_of_partitions_read(
    session: Session, lake: Lake
) -> None:
    assert (
        write(session, lake, 1).artifact.require().content
        == write(session, lake, 7).artifact.require().content
    )


def test_a_lost_row_fails_the_step_and_leaves_no_manifest(session: Session, lake: Lake) -> None:
    with pytest.raises(GristmillError, match="101 rows in but 66 out"):
        write(session, lake, 2, rows_in=101)
    assert lake.artifacts() == []


def test_a_complete_checkpoint_is_reused_and_a_torn_one_is_not(
    session: Session, lake: Lake
) -> None:
    writer = lake.begin(Identity("documents", "extract", 1, {}, {}))
    first = session.checkpoint(writer, "numbers", session.spark.range(5).toDF("n"))
    again = session.checkpoint(writer, "numbers", session.spark.range(9).toDF("n"))
    assert first.count() == again.count() == 5
    storage.delete(writer.work("numbers", "_SUCCESS"))
    assert session.checkpoint(writer, "numbers", session.spark.range(9).toDF("n")).count() == 9


def test_spark_paths_are_spelled_as_hadoop_wants_them() -> None:
    assert spark_uri("s3://bucket/a") == "s3a://bucket/a"
    assert spark_uri("/lake/a") == "file:///lake/a"


def test_a_local_lake_needs_no_s3_jars() -> None:
    assert not any("s3a" in key for key in configuration("/lake"))


def test_a_java_trace_becomes_one_line() -> None:
    assert (
        one_line(ValueError("Job aborted\n  ValueError: bad page\n at java.lang"))
        == "ValueError: ValueError: bad page"
    )
