"""The whole way on a small real crawl: twice, and after kill -9 in each step. The results are the same by content."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.chain import chain
from flows.parameters import PipelineParameters, parse
from infra.lake import Lake
from infra.manifest import MANIFEST_NAME, Manifest
from infra.process import TOKEN
from infra.step import Task

RUN = """
import json, sys
from flows.chain import chain
from flows.parameters import parse
from flows.runner import Runner
tasks = chain(parse(json.loads(sys.argv[1])))
with Runner(tasks[0].lake.root) as runner:
    print(json.dumps([runner.run(task).hit for task in tasks]))
"""
DEADLINE_SECONDS = 300


def parameters(root: Path, crawl: list[str]) -> dict[str, Any]:
    """A run small enough to be killed nine times."""
    train = {
        "steps": 12,
        "global_batch_sequences": 4,
        "micro_batch_sequences": 2,
        "validate_every_steps": 6,
        "checkpoint_every_steps": 4,
        "model": {"layers": 2, "heads": 2, "width": 32, "ffn_width": 64, "context_tokens": 64},
    }
    return {
        "input": crawl,
        "root": str(root),
        "tokenizer": {"vocab_size": 512},
        "tokenize": {"val_fraction": 0.2},
        "filter": {"rules": {}},
        "train": train,
    }


def start(values: dict[str, Any], logs: Path) -> subprocess.Popen[bytes]:
    """The run in a process of its own."""
    environment = {
        **os.environ,
        "GRISTMILL_LOGS": str(logs),
        "SPARK_MASTER": "local[2]",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    return subprocess.Popen([sys.executable, "-c", RUN, json.dumps(values)], stdout=subprocess.PIPE, env=environment)


def finish(values: dict[str, Any], logs: Path) -> list[bool]:
    """Run to the end; which steps were hits."""
    process = start(values, logs)
    output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0
    hits: list[bool] = json.loads(output.splitlines()[-1])
    return hits


def kill_in(task: Task, values: dict[str, Any], logs: Path) -> None:
    """Start the run, wait until the step has begun to write, kill everything with -9."""
    process = start(values, logs)
    folder = Path(task.artifact.uri)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not any(folder.glob("*")) and process.poll() is None and time.monotonic() < deadline:
        psutil.wait_procs([psutil.Process(process.pid)], timeout=0.01)
    descendants = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    tokens = {t for t in map(token_of, descendants) if t}
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = [p for p in psutil.process_iter() if token_of(p) in tokens]
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive, f"children outlived the run: {alive}"


def token_of(process: psutil.Process) -> str | None:
    """The tree that a process belongs to."""
    try:
        return process.environ().get(TOKEN)
    except (psutil.Error, OSError):
        return None


def manifests(values: dict[str, Any]) -> dict[str, Manifest]:
    """Step -> manifest of a finished run."""
    found: PipelineParameters = parse(values)
    return {task.step.name: task.artifact.require() for task in chain(found)}


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A small crawl of local documentation."""
    from flows.cli import sample_task
    from flows.runner import Runner

    task = sample_task(str(tmp_path_factory.mktemp("crawl")), "small", 120)
    with Runner(task.lake.root) as runner:
        return runner.run(task).task.artifact.data_uris()


@pytest.fixture(scope="module")
def whole(crawl: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The parameters of a run that went through undisturbed."""
    values = parameters(tmp_path_factory.mktemp("whole") / "lake", crawl)
    assert not any(finish(values, tmp_path_factory.mktemp("logs")))
    return values


def test_the_second_run_hits_every_step(whole: dict[str, Any], tmp_path: Path) -> None:
    assert all(finish(whole, tmp_path))


def test_the_funnel_adds_up_from_step_to_step(whole: dict[str, Any]) -> None:
    by_step = manifests(whole)
    for before, after in (("extract", "filter"), ("filter", "dedup"), ("dedup", "tokenize")):
        assert by_step[before].counts.rows_out == by_step[after].counts.rows_in
    assert by_step["extract"].counts.rows_in > 120


def test_after_kill_9_in_each_step_the_result_is_the_same(whole: dict[str, Any], crawl: list[str], tmp_path: Path) -> None:
    values = parameters(tmp_path / "lake", crawl)
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
    return next(f.sha256 for f in manifest.files if f.path == "model.safetensors")
