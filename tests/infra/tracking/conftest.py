"""Fixtures for tracking: MLflow on SQLite, for real, in one lake for all tests."""

import logging
from collections.abc import Iterator

import pytest

from infra.settings import settings


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No server from the environment, and no run of somebody else."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    settings.cache_clear()
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    yield
    settings.cache_clear()


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One lake for all tests here: the database's tables take seconds to make."""
    return str(tmp_path_factory.mktemp("tracking") / "lake")
