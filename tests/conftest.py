"""Fixtures for all tests: the shared data (skipped with a reason where it is missing), lakes, an S3 server."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from infra import storage
from infra.lake import Lake
from infra.settings import settings

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


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of a real S3 server (moto's) on loopback."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_root(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`s3://bucket/lake` in a fresh bucket. Settings, storage and child processes of the test see the server in the environment."""
    use_s3(s3_endpoint, monkeypatch)
    bucket = f"test-{uuid.uuid4().hex}"
    storage.filesystem(f"s3://{bucket}")[0].call_s3("create_bucket", Bucket=bucket)
    yield f"s3://{bucket}/lake"
    settings.cache_clear()
    storage._remote.cache_clear()


def use_s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the environment, and what was read from it, at an S3 server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    settings.cache_clear()
    storage._remote.cache_clear()
