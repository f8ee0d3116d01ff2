"""A small crawl for the end-to-end tests."""

import pytest

from flows.command.demo import sample_task
from flows.running.children import Children


@pytest.fixture(scope="session")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A small crawl of local documentation."""
    task = sample_task(str(tmp_path_factory.mktemp("crawl")), "small", {"pages": 120})
    with Children(task.lake.root) as children:
        return children.make(task).task.artifact.data_uris()
