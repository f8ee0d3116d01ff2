"""A small lake with tokens."""

from pathlib import Path

import pytest

from tests.model.artifacts import Tokens, write_tokens


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    """A small lake of its own for the test."""
    return write_tokens(str(tmp_path / "lake"))
