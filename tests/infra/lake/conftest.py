"""Fixtures for the lake's tests."""

import pytest

from infra.lake import Lake


@pytest.fixture
def lake(root: str) -> Lake:
    """An empty lake, once local and once on S3."""
    return Lake.at(root)
