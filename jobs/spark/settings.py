"""How Spark is configured, and how its executors get this code and its environment.

Spark moves rows between workers; files are read and written by the workers themselves
(`infra.storage`), so a lake on S3 needs no connector of Hadoop's. On `spark://` and `k8s://` the
code travels as an archive that each executor unpacks; the environment is an archive too
(`GRISTMILL_SPARK_ENVIRONMENT`, made with venv-pack) or, without one, what the executors' image has.
"""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from infra import storage
from infra.errors import UsageError
from infra.private import private_file
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
MASTER = re.compile(
    r"local(\[(\*|[1-9]\d*)(, *[1-9]\d*)?\])?|local-cluster\[ *\d+ *, *\d+ *, *\d+ *\]"
    r"|(spark|k8s)://\S+|yarn"
)
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
    nobody reads; and for a master that Spark does not know."""
    master = settings().spark_master
    if not MASTER.fullmatch(master):
        raise UsageError(
            f"SPARK_MASTER={master}: no such master; give local[*], local[N], spark://HOST:PORT,"
            " k8s://HOST:PORT or yarn"
        )
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


def write_properties(conf: Mapping[str, str], folder: str) -> Path:
    """A file of these settings for this user alone: one may be a password, and a command line is
    there for everybody to read. (Options of the JVM, `spark.driver.extraJavaOptions`, stand on its
    command line all the same.)"""
    path = Path(folder, "spark.properties")
    with private_file(path) as stream:
        for key, value in conf.items():
            stream.write(f"{_escaped(key)}={_escaped(value)}\n".encode())
    return path


def _escaped(text: str) -> str:
    """The text as Java's Properties read it back, whatever it holds."""

    def units(found: re.Match[str]) -> str:
        hexadecimal = found[0].encode("utf-16-be", "surrogatepass").hex()
        return re.sub("....", r"\\u\g<0>", hexadecimal)

    return re.sub(r"[^A-Za-z0-9._/-]", units, text)


def export_environment(properties: Path) -> None:
    """Set them, and have Spark read its settings from a file, before those of the user's
    `spark-defaults.conf`. Called before the JVM starts."""
    arguments = ["--load-spark-defaults", "--properties-file", str(properties), "pyspark-shell"]
    os.environ.update(environment_for_workers(), PYSPARK_SUBMIT_ARGS=shlex.join(arguments))
