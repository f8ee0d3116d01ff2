"""How Spark is configured, and how its executors get this code and its environment.

Spark moves rows between workers; files are read and written by the workers themselves
(`infra.storage`), so a lake on S3 needs no connector of Hadoop's. On `spark://` and `k8s://` the
code travels as an archive that each executor unpacks; the environment is an archive too
(`GRISTMILL_SPARK_ENVIRONMENT`, made with venv-pack) or, without one, what the executors' image has.
"""

import os
import shutil
import sys
from pathlib import Path

from infra import storage
from infra.errors import UsageError
from infra.settings import settings

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "ARROW_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "NUMBA_NUM_THREADS": "1",
}
CODE = "gristmill_code"
ENVIRONMENT = "gristmill_environment"
PACKAGES = ("infra", "jobs")
HERE = Path(__file__).parents[2]


def configuration(root: str, folder: Path) -> dict[str, str]:
    """Spark's settings for a lake at `root`, then the user's own. `folder`: for the code's archive.

    Raises UsageError for a lake that the executors cannot see.
    """
    require_shared(root)
    master = settings().spark_master
    conf = {
        "spark.master": master,
        "spark.app.name": "gristmill",
        "spark.driver.memory": settings().spark_driver_memory,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        **{f"spark.executorEnv.{key}": value for key, value in ONE_THREAD.items()},
    }
    if master.startswith("local"):
        conf |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    if not master.startswith("local["):
        conf |= shipped(folder)
    for pair in filter(None, settings().spark_conf.split(";")):
        key, _, value = pair.partition("=")
        conf[key.strip()] = value.strip()
    return conf


def require_shared(root: str) -> None:
    """Raises UsageError for a local lake with executors on other machines: they would write where
    nobody reads."""
    master = settings().spark_master
    if not is_here(master) and storage.is_local(root):
        raise UsageError(
            f"SPARK_MASTER={master}: its executors cannot see the local lake {root};"
            " name a lake on s3:// with --root, or set SPARK_MASTER=local[*]"
        )


def is_here(master: str) -> bool:
    """Whether the executors share this machine's files."""
    return master.startswith(("local[", "local-cluster[")) or master == "local"


def shipped(folder: Path) -> dict[str, str]:
    """Settings that bring code, environment and the store's address to executors, credentials not.
    An archive is unpacked: numba caches beside sources on disk."""
    archives = [f"{code_archive(folder)}#{CODE}"]
    if environment := settings().spark_environment:
        archives.append(f"{environment}#{ENVIRONMENT}")
    store = {
        "AWS_ENDPOINT_URL": settings().s3_endpoint or "",
        "AWS_DEFAULT_REGION": settings().s3_region,
    }
    said = {f"spark.executorEnv.{key}": value for key, value in store.items() if value}
    return {"spark.archives": ",".join(archives), "spark.executorEnv.PYTHONPATH": CODE, **said}


def executor_python() -> str:
    """The Python of the executors: of the shipped environment, else this one's path (the same image
    or machine)."""
    if settings().spark_environment and not settings().spark_master.startswith("local["):
        return f"./{ENVIRONMENT}/bin/python"
    return sys.executable


def code_archive(folder: Path) -> Path:
    """A zip of the packages that executors import."""
    copy = folder / "code"
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "setup", "images")
        shutil.copytree(HERE / package, copy / package, ignore=ignored)
    return Path(shutil.make_archive(str(folder / CODE), "zip", copy))


def environment_for_workers() -> dict[str, str]:
    """Variables of this process that its Python workers inherit or Spark reads."""
    python = executor_python()
    return {**ONE_THREAD, "PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": sys.executable}


def export_environment() -> None:
    """Set them. Called before the JVM starts."""
    os.environ.update(environment_for_workers())
