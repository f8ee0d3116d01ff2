"""A `gc` while others work: they wait for it, and what is committed meanwhile stays."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import infra.lake
from infra import storage
from infra.lake import Lake, collect
from infra.lake.collect import Freed
from infra.manifest import Counts
from tests.infra.lake.artifacts import DEDUP, WAIT_SECONDS, Asked, make_shard, there

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a `gc` looks often."""
    monkeypatch.setattr(collect, "POLL_SECONDS", 0.01)


class Paused:
    """Stops a `gc` before one of its parts until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, part: str) -> None:
        self._reached, self._go = threading.Event(), threading.Event()
        real: Callable[..., Any] = getattr(owner, part)

        def stops(*arguments: Any, **named: Any) -> Any:
            self._reached.set()
            assert self._go.wait(WAIT_SECONDS)
            return real(*arguments, **named)

        monkeypatch.setattr(owner, part, stops)

    @contextlib.contextmanager
    def gc(self, lake: Lake) -> Iterator["Future[Freed]"]:
        """A `gc` that stands there inside the block and is done after it."""
        with ThreadPoolExecutor(1) as pool:
            freed = pool.submit(lake.collect)
            assert self._reached.wait(WAIT_SECONDS)
            try:
                yield freed
            finally:
                self._go.set()
            freed.result(WAIT_SECONDS)


def test_a_step_that_says_its_uses_while_gc_deletes_waits_for_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shard(lake.root, "map/a")
    writer = lake.begin(DEDUP)
    with ThreadPoolExecutor(1) as pool:
        with Paused(monkeypatch, infra.lake, "remove_shards").gc(lake):
            asked = Asked(monkeypatch, storage.join(lake.root, collect.MARK))
            saying = pool.submit(writer.uses, ["map/a"])
            asked.again()
            assert not saying.done()
            assert there(lake) == {"map/a"}
        saying.result(WAIT_SECONDS)
    assert there(lake) == set()
    make_shard(lake.root, "map/a")
    lake.collect()
    assert there(lake) == {"map/a"}
    writer.close()


def test_a_step_that_begins_while_gc_deletes_waits_for_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with Paused(monkeypatch, infra.lake, "remove_shards").gc(lake):
            asked = Asked(monkeypatch, storage.join(lake.root, collect.MARK))
            beginning = pool.submit(lake.begin, DEDUP)
            asked.again()
            assert not beginning.done()
        beginning.result(WAIT_SECONDS).close()


@pytest.mark.parametrize("part", ["_stray", "_in_use", "_known"])
def test_the_shards_of_an_artifact_that_is_committed_while_gc_reads_stay(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    writer = lake.begin(DEDUP)
    writer.uses(["map/a"])
    shard = make_shard(lake.root, "map/a")
    with Paused(monkeypatch, Lake, part).gc(lake):
        writer.commit(Counts(1, 1), files=list(shard.files))
    assert there(lake) == {"map/a"}
    assert lake.artifact(DEDUP).manifest(hashes=True)


def test_a_second_gc_waits_for_the_first(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    make_shard(lake.root, "map/a")
    with ThreadPoolExecutor(1) as pool:
        with Paused(monkeypatch, infra.lake, "remove_shards").gc(lake) as first:
            second = pool.submit(lake.collect)
            assert not first.done()
        assert first.result().shards == ["map/a"]
        assert second.result(WAIT_SECONDS) == Freed()
    assert storage.list_files(lake.root) == []


COLLECT = """
import sys
from infra.lake.collect import collecting
with collecting(sys.argv[1]):
    print("collecting", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("taken_by", ["gc", "step"])
def test_the_mark_of_a_dead_gc_is_taken_over(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, taken_by: str
) -> None:
    monkeypatch.setattr(collect, "DEAD_SECONDS", 0.2)
    make_shard(lake.root, "map/a")
    with subprocess.Popen(
        [sys.executable, "-c", COLLECT, lake.root],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"collecting\n"
        other.kill()
    assert storage.exists(storage.join(lake.root, collect.MARK))
    if taken_by == "gc":
        assert lake.collect().shards == ["map/a"]
    else:
        lake.begin(DEDUP).close()
    assert not storage.exists(storage.join(lake.root, collect.MARK))
