"""Fixtures for all tests: the shared data (skipped with a reason where it is missing), lakes, an S3
server."""

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.lake import Lake
from tests.s3_server import forget_s3, make_bucket, s3_server, use_s3

SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real crawls and ground truth beside the checkout."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the shared test data is not beside this checkout")
    return SHARED


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty local lake."""
    return Lake.at(str(tmp_path / "lake"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str, int], Path]]:
    """Makes a disk of so many bytes (a tmpfs) at a folder of that name; skips where that is not
    allowed."""
    mounted: list[Path] = []

    def mount(name: str, size_bytes: int) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of a real S3 server on loopback."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def s3_root(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`s3://bucket/lake` in a fresh bucket. Settings, storage and child processes of the test see
    the server in the environment."""
    use_s3(s3_endpoint, monkeypatch)
    bucket = f"test-{uuid.uuid4().hex}"
    make_bucket(bucket)
    yield f"s3://{bucket}/lake"
    forget_s3()


WHOLE_PROCESSES = (
    "tests/e2e/",
    "tests/flows/test_flows.py",
    "tests/flows/command/test_cli.py",
    "tests/flows/command/test_serve.py",
    "tests/flows/command/test_tampered.py",
    "tests/flows/running/",
    "tests/flows/serving/",
    "tests/model/test_faults.py",
    "tests/model/test_train.py",
    "tests/model/test_launch.py",
    "tests/model/checkpoint/test_running.py",
)
"""Tests that start the command, trainings or servers as a user does."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test is `e2e` (whole processes, an S3 server), `spark` (a Spark session) or `fast`."""
    for item in items:
        place, fixtures = item.nodeid, getattr(item, "fixturenames", ())
        if place.startswith(WHOLE_PROCESSES) or "s3" in place or "s3_root" in fixtures:
            item.add_marker("e2e")
        elif "session" in fixtures or place.startswith("tests/jobs/test_"):
            item.add_marker("spark")
        else:
            item.add_marker("fast")
