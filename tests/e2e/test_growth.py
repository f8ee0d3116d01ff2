"""A shard is made once: a crawl that grew by a file costs that file, a changed threshold costs
decisions."""

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flows.command.demo import sample_task
from flows.running.children import Children
from infra.manifest import SHARDS
from jobs.crawl.bundles import SMALL_BYTES
from tests.e2e.whole import finish, manifests, parameters

STEPS = ("extract", "filter", "dedup", "tokenizer", "tokenize")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Five crawl files of local documentation, each large enough to be a shard of its own."""
    folder = tmp_path_factory.mktemp("files")
    task = sample_task(str(folder / "sample"), "small", {"pages": 320, "shards": 5})
    with Children(task.lake.root) as children:
        packed = children.make(task).task.artifact.data_uris()
    plain = [folder / Path(file).name.removesuffix(".gz") for file in packed]
    for source, target in zip(packed, plain):
        target.write_bytes(gzip.decompress(Path(source).read_bytes()))
        assert target.stat().st_size > SMALL_BYTES
    return [str(file) for file in plain]


def values(root: Path, crawl: list[str], **changes: Any) -> dict[str, Any]:
    """A run whose tokenizer does not depend on the texts, so that encodings can be found again."""
    return parameters(str(root), crawl) | {"tokenizer": {"type": "bytes"}} | changes


def shards(root: Path) -> set[str]:
    """The shards of a lake: `<map>/<digest>`."""
    notes = (root / SHARDS).glob("*/__notes/*.json")
    return {f"{note.parent.parent.name}/{note.stem}" for note in notes}


def made(root: Path, before: set[str]) -> dict[str, int]:
    """How many shards of each map are new."""
    return dict(Counter(name.partition("/")[0] for name in shards(root) - before))


def contents(run: dict[str, Any]) -> dict[str, str]:
    """The content of each step's artifact."""
    found = manifests(run, "tokenize")
    return {step: found[step].content for step in STEPS}


def test_a_crawl_that_grew_by_a_file_costs_that_file_and_ends_like_a_run_from_scratch(
    files: list[str], tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    finish(values(lake, files[:4]), tmp_path / "logs", "tokenize")
    before = shards(lake)
    assert Counter(name.partition("/")[0] for name in before) == dict.fromkeys(
        ("extract", "signals", "filter", "signatures", "encoded"), 4
    )
    finish(values(lake, files), tmp_path / "logs", "tokenize")
    assert made(lake, before) == dict.fromkeys(
        ("extract", "signals", "filter", "signatures", "encoded"), 1
    )
    finish(values(tmp_path / "scratch", files), tmp_path / "logs", "tokenize")
    assert contents(values(lake, files)) == contents(values(tmp_path / "scratch", files))

    before = shards(lake)
    rules = {"rules": {"long_enough": "word_count > 120"}}
    finish(values(lake, files, filter=rules), tmp_path / "logs", "tokenize")
    assert made(lake, before) == {"filter": 5, "signatures": 5, "encoded": 5}

    before = shards(lake)
    finish(
        values(lake, files, dedup={"threshold": 0.7}, name="other"), tmp_path / "logs", "tokenize"
    )
    assert made(lake, before) == {}
