"""How Spark is configured: where a lake may be, what travels to executors."""

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.errors import UsageError
from infra.settings import settings
from jobs.spark.settings import (
    ONE_THREAD,
    code_archive,
    configuration,
    environment_for_workers,
    is_here,
    require_shared,
    shipped,
)


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings are read once a process: read them again, here and for the next test."""
    monkeypatch.delenv("GRISTMILL_SPARK_CONF", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize("master", ["spark://host:7077", "k8s://https://host:443"])
def test_executors_elsewhere_cannot_write_a_local_lake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, master: str
) -> None:
    monkeypatch.setenv("SPARK_MASTER", master)
    with pytest.raises(UsageError) as caught:
        configuration(str(tmp_path / "lake"), tmp_path)
    assert str(caught.value) == (
        f"SPARK_MASTER={master}: its executors cannot see the local lake {tmp_path}/lake;"
        " name a lake on s3:// with --root, or set SPARK_MASTER=local[*]"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "master", ["foo", "local[", "local[x]", "local[0]", "local[2]x", "spark:/host:7077", "spark://"]
)
@pytest.mark.parametrize("root", ["lake", "s3://bucket/lake"])
def test_a_master_of_no_known_form_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, master: str, root: str
) -> None:
    monkeypatch.setenv("SPARK_MASTER", master)
    with pytest.raises(UsageError) as caught:
        require_shared(root)
    assert str(caught.value) == (
        f"SPARK_MASTER={master}: no such master; give local[*], local[N], spark://HOST:PORT,"
        " k8s://HOST:PORT or yarn"
    )


@pytest.mark.parametrize(
    "master", ["local", "local[*]", "local[2]", "local[*, 4]", "local-cluster[2,1,1024]"]
)
def test_every_form_of_this_machine_is_known(monkeypatch: pytest.MonkeyPatch, master: str) -> None:
    monkeypatch.setenv("SPARK_MASTER", master)
    require_shared("lake")


@pytest.mark.parametrize(
    ("master", "here"),
    [
        ("local", True),
        ("local[*]", True),
        ("local-cluster[2,1,1024]", True),
        ("spark://host:7077", False),
        ("k8s://https://host", False),
        ("yarn", False),
    ],
)
def test_what_runs_on_this_machine_sees_its_files(master: str, here: bool) -> None:
    assert is_here(master) == here


def test_a_lake_on_s3_has_executors_anywhere_and_they_get_the_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPARK_MASTER", "spark://host:7077")
    conf = configuration("s3://bucket/lake", tmp_path)
    assert conf["spark.master"] == "spark://host:7077"
    assert conf["spark.archives"] == f"{tmp_path}/gristmill_code.zip#gristmill_code"
    assert conf["spark.executorEnv.PYTHONPATH"] == "gristmill_code"
    assert "spark.driver.host" not in conf
    assert not any("s3a" in key for key in conf)


def test_on_one_machine_nothing_travels_and_nothing_listens_outside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPARK_MASTER", "local[2]")
    conf = configuration(str(tmp_path / "lake"), tmp_path)
    assert "spark.archives" not in conf
    assert conf["spark.driver.bindAddress"] == conf["spark.driver.host"] == "127.0.0.1"
    assert conf["spark.ui.enabled"] == "false"


def test_the_archive_holds_the_code_of_infra_and_jobs_alone(tmp_path: Path) -> None:
    names = zipfile.ZipFile(code_archive(tmp_path)).namelist()
    assert {name.split("/")[0] for name in names} == {"infra", "jobs"}
    assert {"jobs/extract.py", "jobs/spark/maps.py", "infra/lake/__init__.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_a_packed_environment_travels_with_the_code_and_its_python_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPARK_MASTER", "spark://host:7077")
    monkeypatch.setenv("GRISTMILL_SPARK_ENVIRONMENT", "s3://bucket/env.tar.gz")
    archives = shipped(tmp_path)["spark.archives"].split(",")
    assert archives[1] == "s3://bucket/env.tar.gz#gristmill_environment"
    assert environment_for_workers()["PYSPARK_PYTHON"] == "./gristmill_environment/bin/python"


def test_workers_are_this_python_with_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_MASTER", "local[2]")
    environment = environment_for_workers()
    assert environment["PYSPARK_PYTHON"] == sys.executable
    assert environment.items() >= ONE_THREAD.items()
    assert environment["OMP_NUM_THREADS"] == environment["NUMBA_NUM_THREADS"] == "1"


def test_the_users_own_settings_come_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARK_MASTER", "local[2]")
    own = "spark.app.name = mine; spark.executor.extra=a=b;"
    monkeypatch.setenv("GRISTMILL_SPARK_CONF", own)
    conf = configuration(str(tmp_path), tmp_path)
    assert (conf["spark.app.name"], conf["spark.executor.extra"]) == ("mine", "a=b")
