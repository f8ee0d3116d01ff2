"""The whole way on a small real crawl: twice, and after kill -9 in each step. The results are the
same by content."""

import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.chain.chain import chain
from flows.chain.parameters import parse
from infra.lake import Lake
from infra.manifest import MANIFEST_NAME, SHARDS, Manifest
from infra.process import TOKEN
from infra.step import Task
from tests.e2e.whole import DEADLINE_SECONDS, finish, manifests, parameters, start


def kill_in(task: Task, values: dict[str, Any], logs: Path) -> None:
    """Start the run, wait until the step has begun to write, kill everything with -9."""
    before = written(task)
    process = start(values, logs)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while written(task) <= before and process.poll() is None and time.monotonic() < deadline:
        psutil.wait_procs([psutil.Process(process.pid)], timeout=0.01)
    descendants = (
        psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    )
    tokens = {t for t in map(token_of, descendants) if t}
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = [p for p in psutil.process_iter() if token_of(p) in tokens]
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive, f"children outlived the run: {alive}"


def written(task: Task) -> set[Path]:
    """The files that a step has begun or finished: its shards', where it has any, else its own."""
    maps = {shard_map.name for shard_map in task.step.maps(task)}
    shards = [Path(task.lake.root, SHARDS, name) for name in sorted(maps)]
    return {file for folder in shards or [Path(task.artifact.uri)] for file in folder.rglob("*")}


def token_of(process: psutil.Process) -> str | None:
    """The tree that a process belongs to."""
    try:
        return process.environ().get(TOKEN)
    except (psutil.Error, OSError):
        return None


@pytest.fixture(scope="module")
def whole(crawl: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The parameters of a run that went through undisturbed."""
    values = parameters(str(tmp_path_factory.mktemp("whole") / "lake"), crawl)
    assert not any(finish(values, tmp_path_factory.mktemp("logs")))
    return values


def test_the_second_run_hits_every_step(whole: dict[str, Any], tmp_path: Path) -> None:
    assert all(finish(whole, tmp_path))


def test_the_funnel_adds_up_from_step_to_step(whole: dict[str, Any]) -> None:
    by_step = manifests(whole)
    for before, after in (("extract", "filter"), ("filter", "dedup"), ("dedup", "tokenize")):
        assert by_step[before].counts.rows_out == by_step[after].counts.rows_in
    assert by_step["extract"].counts.rows_in > 120


def test_after_kill_9_in_each_step_the_result_is_the_same(
    whole: dict[str, Any], crawl: list[str], tmp_path: Path
) -> None:
    values = parameters(str(tmp_path / "lake"), crawl)
    for task in chain(parse(values)):
        kill_in(task, values, tmp_path / "logs")
    finish(values, tmp_path / "logs")
    expected, got = manifests(whole), manifests(values)
    for step in ("extract", "filter", "dedup", "tokenizer", "tokenize", "export"):
        assert got[step].content == expected[step].content, step
    assert model_hash(got["train"]) == model_hash(expected["train"])
    assert got["evaluate"].details["val_loss"] == expected["evaluate"].details["val_loss"]
    half_written = {p.parent for p in (tmp_path / "lake").glob("*/*/*/part-*")} - {
        p.parent for p in (tmp_path / "lake").glob(f"*/*/*/{MANIFEST_NAME}")
    }
    assert not half_written
    assert len(Lake.at(values["root"]).artifacts()) == len(got)


def model_hash(manifest: Manifest) -> str:
    """Content hash of the trained weights."""
    return next(f.sha256 for f in manifest.files if f.path.endswith("/model.safetensors"))
