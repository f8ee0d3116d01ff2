"""Imports point down only, and each outside thing has one package that knows it."""

import pytest

from tests.contract.sources import PACKAGES, calls, imports, modules

BELOW = {
    "flows": {"flows", "jobs", "model", "infra"},
    "jobs": {"jobs", "infra"},
    "model": {"model", "infra"},
    "infra": {"infra"},
}
STRANGERS = {
    "jobs": {"torch", "prefect", "mlflow"},
    "model": {"pyspark", "prefect", "mlflow"},
    "infra": {"torch", "pyspark", "prefect"},
}
ONE_OWNER = {
    "mlflow": "infra/tracking/",
    "subprocess": "infra/process.py",
    "fsspec": "infra/storage/",
    "s3fs": "infra/storage/",
    "boto3": "infra/storage/",
    "botocore": "infra/storage/",
    "aiobotocore": "infra/storage/",
    "multiprocessing": "infra/process.py",
}
STARTERS = {
    "os.system",
    "os.popen",
    "os.fork",
    "os.posix_spawn",
    "os.spawnv",
    "os.execv",
    "os.execvp",
    "os.execve",
    "asyncio.create_subprocess_exec",
}


def of(package: str) -> list[str]:
    """The files of a package."""
    return [path for path in modules() if path.startswith(f"{package}/")]


def roots(path: str) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.split(".")[0] for name in imports(path)}


def test_every_package_has_files() -> None:
    assert all(of(package) for package in PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_down_only(package: str) -> None:
    up = {path: sorted(roots(path) & set(PACKAGES) - BELOW[package]) for path in of(package)}
    assert {path: names for path, names in up.items() if names} == {}


@pytest.mark.parametrize("package", STRANGERS)
def test_a_package_does_not_know_the_tools_of_another(package: str) -> None:
    known = {path: sorted(roots(path) & STRANGERS[package]) for path in of(package)}
    assert {path: names for path, names in known.items() if names} == {}


def test_prefect_lives_in_flows_alone() -> None:
    assert [
        path for path in modules() if "prefect" in roots(path) and not path.startswith("flows/")
    ] == []


@pytest.mark.parametrize("library", ONE_OWNER)
def test_one_place_alone_knows_the_library(library: str) -> None:
    assert [
        path
        for path in modules()
        if library in roots(path) and not path.startswith(ONE_OWNER[library])
    ] == []


def test_processes_are_started_by_infra_process_alone() -> None:
    assert [
        (path, name)
        for path in modules()
        for name, _ in calls(path)
        if name in STARTERS and path != "infra/process.py"
    ] == []


def test_nobody_imports_the_tests() -> None:
    assert [path for path in modules() if "tests" in roots(path)] == []
