"""The one Spark session of a run."""

import tempfile
from pathlib import Path

import psutil
from pyspark.sql import SparkSession

from jobs.spark.settings import configuration, export_environment, write_properties

JVM_END_SECONDS = 3.0
SHUFFLE_BYTES = 64 << 20


class Session:
    """A Spark session bound to a lake's root. `Session.start(root)` makes it, `stop()` ends it."""

    def __init__(
        self,
        spark: SparkSession,
        root: str,
        folder: "tempfile.TemporaryDirectory[str] | None" = None,
    ) -> None:
        self.spark = spark
        self.root = root
        self._folder = folder

    @classmethod
    def start(cls, root: str) -> "Session":
        """Start Spark as the settings say, once in a process. Raises UsageError where they do not
        fit the lake."""
        # The driver serves the code's archive from here, also to an executor that joins much later.
        folder = tempfile.TemporaryDirectory(prefix="gristmill-code-")
        properties = write_properties(configuration(root, Path(folder.name)), folder.name)
        export_environment(properties)
        try:
            session = cls(SparkSession.builder.getOrCreate(), root, folder)
        finally:
            properties.unlink()  # it has been read; a kill would leave it behind
        session.spark.sparkContext.setLogLevel("WARN")
        return session

    @property
    def cores(self) -> int:
        """Cores of all executors that are there by now; on a cluster they come one by one."""
        return self.spark.sparkContext.defaultParallelism

    @property
    def application_id(self) -> str:
        """Spark's id of this session, for manifests."""
        return str(self.spark.sparkContext.applicationId)

    def width(self, size_bytes: int) -> int:
        """Partitions for so many bytes: enough for the cores, none much above SHUFFLE_BYTES."""
        return max(self.cores, -(-size_bytes // SHUFFLE_BYTES))

    def shuffle_by(self, size_bytes: int) -> None:
        """From now on, shuffles have as many partitions as so many bytes need."""
        self.spark.conf.set("spark.sql.shuffle.partitions", self.width(size_bytes))

    def lost(self) -> int | None:
        """Which signal ended the JVM, 0 where it ended of itself; None while it lives (it gets a
        moment: its connections break before it is gone)."""
        gateway = self.spark.sparkContext._gateway
        try:
            jvm = psutil.Process(gateway.proc.pid)  # type: ignore[union-attr]
            code = jvm.wait(JVM_END_SECONDS)
        except psutil.TimeoutExpired:
            return None
        except psutil.NoSuchProcess:
            return 0
        return max(0, -int(code or 0))

    def stop(self) -> None:
        """Stop Spark and its JVM."""
        self.spark.stop()
        if self._folder is not None:
            self._folder.cleanup()
