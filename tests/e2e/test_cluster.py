"""Spark with two real executors, processes of their own as on a cluster: the same artifacts as in
one process."""

from pathlib import Path

from flows.chain.chain import chain
from flows.chain.parameters import parse
from tests.e2e.whole import finish, parameters


def test_executors_write_what_one_process_writes(crawl: list[str], tmp_path: Path) -> None:
    contents = []
    for master in ("local[1]", "local-cluster[2,1,1024]"):
        values = parameters(str(tmp_path / master.partition("[")[0]), crawl)
        finish(values, tmp_path / "logs", "tokenize", master)
        contents.append(
            [task.artifact.require().content for task in chain(parse(values), "tokenize")]
        )
    assert contents[0] == contents[1]
