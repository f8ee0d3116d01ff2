"""Fixtures for infra's tests: the same root once as a directory, once on S3."""

from pathlib import Path

import pytest


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a lake may be: an empty directory, then an empty prefix of an S3 bucket."""
    return (
        str(tmp_path / "lake")
        if request.param == "local"
        else str(request.getfixturevalue("s3_root"))
    )
