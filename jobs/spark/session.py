"""The one Spark session of a run: how it is configured, how it reads artifacts and how it writes rows.

Everything that is written keeps three promises: only files that a commit named are read; a checkpoint is taken up again after a
crash if, and only if, it is complete; rows in = rows out + rows rejected, or no manifest is written. What a file holds does not
depend on the number of cores: partitions and the order within them come from the row keys.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import psutil
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from infra import storage
from infra.errors import GristmillError
from infra.lake import Artifact, Writer
from infra.manifest import Counts, Manifest
from infra.settings import settings
from infra.step import Task

ROWS_PER_FILE = 50_000
JVM_END_SECONDS = 3.0
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "NUMBA_NUM_THREADS": "1",
}
HADOOP_AWS = "3.5.0"
AWS_SDK = "2.35.4"
PACKAGES = [
    f"org.apache.hadoop:hadoop-aws:{HADOOP_AWS}",
    "org.apache.spark:spark-hadoop-cloud_2.13:4.1.1",
    *(
        f"software.amazon.awssdk:{part}:{AWS_SDK}"
        for part in ("s3", "s3-transfer-manager", "apache-client", "sts")
    ),
]
EXCLUDES = [
    "software.amazon.awssdk:bundle",
    "org.apache.hadoop:hadoop-client-runtime",
    "org.apache.hadoop:hadoop-client-api",
    "io.netty:*",
    "org.slf4j:slf4j-api",
]


def spark_uri(uri: str) -> str:
    """The URI as Hadoop spells it: `s3a://` for S3, `file://` for a local path."""
    if storage.is_local(uri):
        return "file://" + os.path.abspath(storage.local_path(uri))
    return uri.replace("s3://", "s3a://", 1)


def configuration(root: str) -> dict[str, str]:
    """Spark's settings for a lake at `root`: what every run needs, S3A where the lake is remote, then the user's own."""
    here = str(Path(__file__).parents[2])
    master = settings().spark_master
    conf = {
        "spark.master": master,
        "spark.app.name": "gristmill",
        "spark.driver.memory": settings().spark_driver_memory,
        "spark.pyspark.python": sys.executable,
        "spark.pyspark.driver.python": sys.executable,
        "spark.executorEnv.PYTHONPATH": here,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
        "spark.hadoop.parquet.summary.metadata.level": "NONE",
        **{f"spark.executorEnv.{key}": value for key, value in ONE_THREAD.items()},
    }
    if master.startswith("local"):
        conf |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    if not storage.is_local(root):
        conf |= s3a_configuration()
    for pair in filter(None, settings().spark_conf.split(";")):
        key, _, value = pair.partition("=")
        conf[key.strip()] = value.strip()
    return conf


def s3a_configuration() -> dict[str, str]:
    """S3A with the magic committer; credentials come from the environment, as for every other S3 client."""
    conf = {
        "spark.sql.sources.commitProtocolClass": "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol",
        "spark.sql.parquet.output.committer.class": "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter",
        "spark.hadoop.fs.s3a.committer.name": "magic",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.endpoint.region": settings().s3_region,
    }
    endpoint = settings().s3_endpoint
    if endpoint:
        conf["spark.hadoop.fs.s3a.endpoint"] = endpoint
        conf["spark.hadoop.fs.s3a.connection.ssl.enabled"] = str(
            endpoint.startswith("https")
        ).lower()
    jars = settings().spark_jars
    if jars:
        found = sorted(str(jar) for jar in jars.glob("*.jar"))
        if not found:
            raise GristmillError(
                f"GRISTMILL_SPARK_JARS={jars}: no .jar files there; point it to the directory of S3A jars or unset it"
            )
        conf["spark.jars"] = ",".join(found)
    else:
        conf["spark.jars.packages"] = ",".join(PACKAGES)
        conf["spark.jars.excludes"] = ",".join(EXCLUDES)
    return conf


class Session:
    """A Spark session bound to a lake's root. `Session.start(root)` makes it, `stop()` ends it."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark

    @classmethod
    def start(cls, root: str) -> "Session":
        """Start Spark as the settings say."""
        os.environ.update(ONE_THREAD, PYSPARK_PYTHON=sys.executable)
        builder = SparkSession.builder
        for key, value in configuration(root).items():
            builder = builder.config(key, value)
        session = cls(builder.getOrCreate())
        session.spark.sparkContext.setLogLevel("WARN")
        return session

    def lost(self) -> bool:
        """Whether the JVM has ended (it is given a moment: its connections break before it is gone)."""
        try:
            psutil.Process(self.spark.sparkContext._gateway.proc.pid).wait(JVM_END_SECONDS)  # type: ignore[union-attr]
        except psutil.TimeoutExpired:
            return False
        except psutil.NoSuchProcess:
            return True
        return True

    def stop(self) -> None:
        """Stop Spark and its JVM."""
        self.spark.stop()

    def parquet(self, *uris: str) -> DataFrame:
        """The rows of these files or folders."""
        return self.spark.read.parquet(*(spark_uri(uri) for uri in uris))

    def read(self, artifact: Artifact, *columns: str) -> DataFrame:
        """The rows of a finished artifact, only from the files in its manifest; `columns` selects."""
        frame = self.parquet(*artifact.data_uris())
        return frame.select(*columns) if columns else frame

    def checkpoint(self, writer: Writer, name: str, frame: DataFrame) -> DataFrame:
        """`frame` written once below the artifact's `_work/` and read back; a complete one from before a crash is used again."""
        uri = writer.work(name)
        if not storage.exists(storage.join(uri, "_SUCCESS")):
            storage.delete(uri)
            frame.write.mode("overwrite").parquet(spark_uri(uri))
            _require_commit(uri)
        return self.parquet(uri)

    def write(
        self,
        writer: Writer,
        frame: DataFrame,
        folder: str = "",
        partitions: int = 1,
        keys: tuple[str, ...] = ("doc_id",),
    ) -> None:
        """Write rows to `part-*.parquet` in the artifact (or its `folder`): hash-partitioned and sorted by `keys`."""
        self.append(
            writer, frame.repartition(partitions, *keys).sortWithinPartitions(*keys), folder
        )

    def append(self, writer: Writer, frame: DataFrame, folder: str = "", **options: str) -> None:
        """Write rows as they are partitioned and sorted: partition i to `part-<i>-*.parquet`. `options`: the Parquet writer's."""
        uri = writer.file(folder) if folder else writer.artifact.uri
        frame.write.mode("append").options(**options).parquet(spark_uri(uri))
        _require_commit(uri)

    def commit_rows(
        self,
        task: Task,
        writer: Writer,
        rows: DataFrame,
        rows_in: int,
        *,
        keys: tuple[str, ...] = ("doc_id", "warc_file", "warc_offset"),
        details: dict[str, Any] | None = None,
        extra: dict[str, int] | None = None,
    ) -> Manifest:
        """Write the rows without a `reject_reason` as the result, the others to `rejected/`, check the accounting, commit.

        `rows` is read several times: give a checkpoint. Counts are those of the files that were written.
        """
        text_bytes = F.sum(F.octet_length("text")) if "text" in rows.columns else F.lit(None)
        found = (
            rows.groupBy("reject_reason")
            .agg(F.count("*").alias("rows"), text_bytes.alias("bytes"))
            .collect()
        )
        tally = {row["reject_reason"]: row["rows"] for row in found}
        kept = tally.pop(None, 0)
        kept_bytes = sum(row["bytes"] or 0 for row in found if row["reject_reason"] is None)
        texts = {"bytes_text": kept_bytes} if "text" in rows.columns else {}
        self.write(writer, rows.where(F.col("reject_reason").isNull()), "", _files_for(kept), keys)
        self.write(
            writer,
            rows.where(F.col("reject_reason").isNotNull()),
            "rejected",
            _files_for(sum(tally.values())),
            keys,
        )
        written = _written_rows(writer.artifact.uri)
        rejected = {row["reject_reason"]: row["count"] for row in self._reasons(writer)}
        counts = Counts(
            rows_in=rows_in,
            rows_out=written,
            rejected=dict(sorted(rejected.items())),
            extra=texts | (extra or {}),
        )
        return writer.commit(
            counts, details=details, spark_application_id=self.spark.sparkContext.applicationId
        )

    def _reasons(self, writer: Writer) -> list[Any]:
        return self.parquet(writer.file("rejected")).groupBy("reject_reason").count().collect()


def _files_for(rows: int) -> int:
    return max(1, -(-rows // ROWS_PER_FILE))


def _written_rows(folder: str) -> int:
    """Rows of the Parquet files directly in `folder`, from their footers."""
    import pyarrow.parquet as pq

    total = 0
    for info in storage.list_files(folder):
        if (
            "/" not in info.path
            and info.path.endswith(".parquet")
            and not info.path.startswith(".")
        ):
            with storage.open_read(info.uri) as stream:
                total += pq.ParquetFile(stream).metadata.num_rows
    return total


def _require_commit(uri: str) -> None:
    """A finished Spark write leaves `_SUCCESS`; on S3 it must be the magic committer's JSON, or another committer ran."""
    text = storage.read_bytes(storage.join(uri, "_SUCCESS"))
    if storage.is_local(uri):
        return
    try:
        committer = json.loads(text)["committer"]
    except (ValueError, KeyError):
        committer = "plain"
    if committer != "magic":
        raise GristmillError(
            f"{uri}: written by the {committer} committer, which is not safe on S3; check the S3A jars and settings"
        )
