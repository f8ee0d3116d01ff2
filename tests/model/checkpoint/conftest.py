"""A process group of one, and an artifact that no training has written yet."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch.distributed as dist

from infra.lake import Artifact
from model.runtime import Processes, start_processes


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    """This process as a training of one."""
    yield start_processes()
    dist.destroy_process_group()


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """Its folder is not there."""
    return Artifact(str(tmp_path / "lake"), "checkpoints", "demo", "c" * 64)
