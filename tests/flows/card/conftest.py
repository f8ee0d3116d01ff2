"""Fixtures for the report's tests: a lake with a real MLflow registry in SQLite."""

from pathlib import Path

import pytest

from infra import storage, tracking
from infra.lake import Lake


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables made and nothing in them: making them takes seconds."""
    root = tmp_path_factory.mktemp("registry")
    assert tracking.champion(str(root), "gristmill") is None
    return root / "mlflow.db"


@pytest.fixture
def lake(lake: Lake, registry: Path) -> Lake:
    """An empty lake with an empty registry."""
    storage.write_bytes(storage.join(lake.root, "mlflow.db"), registry.read_bytes())
    return lake
