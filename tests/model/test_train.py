"""Training in processes: nothing is lost by a kill, their number does not matter, SIGTERM saves."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from infra import storage, tracking
from infra.step import Task
from model.steps import TRAIN as STEP
from tests.model.artifacts import Tokens, write_tokens
from tests.model.training import (
    final_weights,
    kill_training,
    start_training,
    train,
    train_task,
)

OWNER = """
import pathlib, sys
from infra.process import Child
command = [sys.executable, "-m", "model.launch", "2", "model.train", sys.argv[1]]
child = Child(command, pathlib.Path(sys.argv[2]), {"OMP_NUM_THREADS": "1"})
for event in child.events():
    if event["event"] == "metric":
        print(*[process.pid for process in child.tree()], flush=True)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokens, Path]:
    """One lake for the module; trainings differ by name."""
    folder = tmp_path_factory.mktemp("train")
    return write_tokens(str(folder / "lake"), size=1500), folder


@pytest.fixture(scope="module")
def reference(place: tuple[Tokens, Path]) -> tuple[Task, list[dict[str, Any]]]:
    """Twelve steps on two processes that nobody disturbed."""
    tokens, folder = place
    task = train_task(tokens, "reference")
    return task, train(task, folder, processes=2)


def largest_difference(first: Task, second: Task) -> float:
    a, b = final_weights(first), final_weights(second)
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def files_of(task: Task) -> dict[str, str]:
    folder = f"{task.artifact.path}/"
    files = task.artifact.require().files
    return {entry.path.removeprefix(folder): entry.sha256 for entry in files}


def test_the_loss_falls_and_the_manifest_says_what_was_done(
    reference: tuple[Task, list[dict[str, Any]]],
) -> None:
    task, events = reference
    manifest = task.artifact.require()
    details = manifest.details
    assert details["val_loss"] < 5.0
    assert [point[0] for point in details["curve"]] == list(range(1, 13))
    assert [point[0] for point in details["curve"] if point[2] is not None] == [4, 8, 12]
    assert details["curve"][-1][2] == pytest.approx(details["val_loss"], abs=1e-9)
    assert details["tokens_seen"] == 12 * 16 * 64
    assert manifest.counts.rows_in == manifest.counts.rows_out == 12 * 16
    assert manifest.mlflow_run_id
    assert events[-1] == {"event": "result", "digest": manifest.digest}
    assert {path.split("/")[0] for path in files_of(task)} == {
        "model.json",
        "model.safetensors",
        "step-00000012",
    }


def recorded(task: Task) -> dict[str, list[str]]:
    """Where the MLflow run of a training says its checkpoints are: those that it lists, and its
    outputs."""
    root, run_id = task.lake.root, task.artifact.require().mlflow_run_id
    client = tracking.MlflowClient(tracking.uri_for(root))
    run = client.get_run(run_id)
    assert run.outputs is not None
    models = client.search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run_id}'", max_results=50
    )
    outputs = [client.get_logged_model(output.model_id) for output in run.outputs.model_outputs]
    both = {"listed": models, "outputs": outputs}
    folder = f"{task.artifact.uri}/"
    return {
        what: [model.tags["uri"] for model in found if model.tags["uri"].startswith(folder)]
        for what, found in both.items()
    }


def test_mlflow_lists_the_checkpoints_that_are_there(
    place: tuple[Tokens, Path], reference: tuple[Task, list[dict[str, Any]]]
) -> None:
    task, events = reference
    left = [task.artifact.file("step-00000012")]
    assert sum(event["event"] == "checkpoint" for event in events) > 3
    assert recorded(task) == {"listed": left, "outputs": left}


@pytest.mark.parametrize(
    "at",
    [{"event": "metric", "step": 7}, {"event": "checkpoint", "step": 6}],
    ids=["in a step", "in a save"],
)
def test_a_kill_changes_no_bit_at_equal_process_count(
    place: tuple[Tokens, Path], reference: tuple[Task, list[dict[str, Any]]], at: dict[str, Any]
) -> None:
    tokens, folder = place
    task = train_task(tokens, f"killed-{at['event']}")
    kill_training(task, folder, 2, at)
    assert task.artifact.manifest() is None
    events = train(task, folder, processes=2)
    assert [event["step"] for event in events if event["event"] == "resumed"]
    assert files_of(task) == files_of(reference[0])
    left = [task.artifact.file("step-00000012")]
    assert recorded(task) == {"listed": left, "outputs": left}


def test_two_processes_killed_and_resumed_as_one_agree_within_a_millionth(
    place: tuple[Tokens, Path], reference: tuple[Task, list[dict[str, Any]]]
) -> None:
    tokens, folder = place
    task = train_task(tokens, "fewer")
    kill_training(task, folder, 2, {"event": "metric", "step": 7})
    train(task, folder, processes=1)
    assert largest_difference(task, reference[0]) <= 1e-6


def test_one_process_gives_what_two_give(
    place: tuple[Tokens, Path], reference: tuple[Task, list[dict[str, Any]]]
) -> None:
    tokens, folder = place
    task = train_task(tokens, "alone")
    train(task, folder, processes=1)
    assert largest_difference(task, reference[0]) <= 1e-6
    assert task.identity == reference[0].identity


def test_sigterm_saves_a_checkpoint_and_the_next_start_goes_on(
    place: tuple[Tokens, Path], reference: tuple[Task, list[dict[str, Any]]]
) -> None:
    tokens, folder = place
    task = train_task(tokens, "interrupted")
    interrupted = []
    with start_training(task, folder, 2) as child:
        child.close_input()
        for event in child.events():
            if event["event"] == "metric" and event["step"] == 2:
                for process in child.tree():
                    process.send_signal(signal.SIGTERM)
            if event["event"] == "interrupted":
                interrupted.append(event["step"])
    assert len(interrupted) == 1
    assert task.artifact.manifest() is None
    assert storage.exists(task.artifact.file(f"step-{interrupted[0]:08d}", "COMPLETE"))
    events = train(task, folder, processes=2)
    assert {"event": "resumed", "step": interrupted[0]} in events
    assert files_of(task) == files_of(reference[0])


def test_no_process_outlives_an_owner_that_was_killed(place: tuple[Tokens, Path]) -> None:
    tokens, folder = place
    task = train_task(tokens, "orphaned", steps=100000)
    request = folder / "orphaned.json"
    request.write_text(json.dumps(task.request()))
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(request), str(folder / "orphaned.log")],
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        tree = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
        owner.kill()
    assert len(tree) >= 3
    assert psutil.wait_procs(tree, timeout=60)[1] == []


def test_early_stopping_keeps_the_best_weights(place: tuple[Tokens, Path]) -> None:
    tokens, folder = place
    optimizer = {"muon_lr": 0.5, "adamw_lr": 0.5, "schedule": "linear"}
    task = train_task(
        tokens,
        "early",
        optimizer=optimizer,
        steps=200,
        validate_every_steps=2,
        checkpoint_every_steps=50,
        patience=2,
    )
    train(task, folder)
    details = task.artifact.require().details
    validated = {point[0]: point[2] for point in details["curve"] if point[2] is not None}
    assert details["stopped_early"]
    assert details["steps"] < 200
    assert (
        details["final_step"]
        == details["best_step"]
        == min(validated, key=lambda step: validated[step])
    )
    assert details["val_loss"] == pytest.approx(validated[details["best_step"]], abs=1e-6)
    assert {path.split("/")[0] for path in files_of(task)} >= {
        f"step-{details['best_step']:08d}",
        f"step-{details['steps']:08d}",
    }


def test_a_wrong_batch_is_one_clear_line(place: tuple[Tokens, Path]) -> None:
    tokens, folder = place
    task = train_task(tokens, "wrong", micro_batch_sequences=5)
    with start_training(task, folder, 1) as child:
        events = list(child.events())
        assert child.wait() != 0
    first = next(event for event in events if event["event"] == "failed")
    assert "multiple of micro_batch_sequences" in first["message"]
    assert task.artifact.manifest() is None


def test_the_request_survives_the_way_to_the_child(tokens: Tokens) -> None:
    task = train_task(tokens, "request")
    again = Task.from_request(STEP, json.loads(json.dumps(task.request())))
    assert again.identity.digest == task.identity.digest


def test_weights_are_finite(reference: tuple[Task, list[dict[str, Any]]]) -> None:
    assert all(torch.isfinite(tensor).all() for tensor in final_weights(reference[0]).values())
