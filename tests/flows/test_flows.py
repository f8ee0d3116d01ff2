"""The flows with Prefect's own server: artifacts, cached states, tries, deployments, and a command
that is interrupted or killed."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.client.schemas.objects import State, TaskRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.context import TaskRunContext
from prefect.deployments.steps.core import run_steps
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from flows.chain.chain import chain
from flows.chain.parameters import PipelineParameters, parse
from flows.chain.steps import STEPS
from flows.command.demo import sample_task
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.pipeline import pipeline
from flows.running.children import Children
from flows.running.step_task import ManifestPolicy
from infra.errors import GristmillError
from tests.e2e.whole import parameters
from tests.flows.terminals import on_a_terminal

REPO = Path(__file__).parents[2]
PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]
MARK = "GRISTMILL_TEST"
DEADLINE_SECONDS = 120


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    """Prefect's server with an empty database; nothing is reported to anybody."""
    with (
        pytest.MonkeyPatch.context() as patch,
        prefect_test_harness(server_startup_timeout=DEADLINE_SECONDS),
    ):
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        patch.setenv("DO_NOT_TRACK", "1")
        yield


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small run on a crawl of local documentation."""
    task = sample_task(str(tmp_path_factory.mktemp("crawl")), "small", {"pages": 60})
    with Children(task.lake.root) as children:
        crawl = children.make(task).task.artifact.data_uris()
    crawl = [f"pydoc={uri}" for uri in crawl]
    return parameters(str(tmp_path_factory.mktemp("flows") / "lake"), crawl)


@pytest.fixture(scope="module")
def first(values: dict[str, Any], server: None) -> State[Any]:
    """The state of a whole run whose Spark was killed once."""
    extracted = Path(chain(parse(values))[0].artifact.uri, "_MANIFEST.json")
    threading.Thread(target=kill_spark_after, args=(extracted,), daemon=True).start()
    return pipeline(parse(values), return_state=True)


def kill_spark_after(file: Path) -> None:
    """Kill the Java processes that have begun since with -9 once the file is there."""
    others = set(psutil.Process().children(recursive=True))
    while not file.exists():
        psutil.wait_procs([psutil.Process()], timeout=0.05)
    for process in psutil.Process().children(recursive=True):
        if process not in others and process.name() == "java":
            process.kill()


def task_runs(state: State[Any]) -> dict[str, TaskRun]:
    """Step -> task run of a flow run and its subflows."""
    assert state.state_details.flow_run_id is not None
    run_id = state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        below = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run_id])
            )
        )
        wanted = TaskRunFilter(
            flow_run_id=TaskRunFilterFlowRunId(any_=[run_id, *(run.id for run in below)])
        )
        found = client.read_task_runs(task_run_filter=wanted)
    return {run.name.split()[0]: run for run in found if run.name.split()[0] in STEPS}


def artifacts() -> dict[str, Any]:
    """Key -> newest data of the artifacts on Prefect's page."""
    with get_client(sync_client=True) as client:
        return {
            found.key: found.data
            for found in sorted(client.read_artifacts(), key=lambda a: a.created)
            if found.key
        }


def test_every_artifact_is_what_its_step_declares(
    first: State[Any], values: dict[str, Any]
) -> None:
    assert first.is_completed()
    for task in chain(parse(values)):
        step, manifest = task.step, task.artifact.require()
        own = [entry.path.split("/", 3)[3] for entry in manifest.data_files() if not entry.is_shard]
        assert manifest.details.keys() == step.details.keys(), step.name
        assert not [path for path in own if not any(fnmatch(path, name) for name in step.files)]
        assert not [name for name in step.files if not any(fnmatch(path, name) for path in own)]
        assert (
            manifest.counts.rejected.keys()
            <= step.reasons.keys() | values["filter"]["rules"].keys()
        )


def test_a_killed_spark_is_tried_again_and_the_run_completes(first: State[Any]) -> None:
    assert first.is_completed(), first.message
    tries = [run.run_count for run in task_runs(first).values()]
    assert sorted(tries) == [1] * 8 + [2]


def test_the_page_shows_the_funnel_the_loss_the_scores_and_the_verdict(first: State[Any]) -> None:
    shown = artifacts()
    funnel = {row["step"]: row for row in json.loads(shown["funnel"])}
    assert list(funnel) == ["extract", "filter", "dedup", "tokenizer", "tokenize"]
    assert all(row["rows in"] == row["rows out"] + row["rejected"] for row in funnel.values())
    for before, after in (("extract", "filter"), ("filter", "dedup"), ("dedup", "tokenize")):
        assert funnel[before]["rows out"] == funnel[after]["rows in"]
    assert shown["loss"].startswith("![training and validation loss](data:image/svg+xml;base64,")
    assert {row["score"] for row in json.loads(shown["scores"])} >= {
        "val_loss",
        "perplexity",
        "val_bits_per_byte",
    }
    assert "is the **champion**" in shown["report-card"]
    assert shown["train-progress"] == 100.0


def test_every_manifest_names_its_flow_run(first: State[Any], values: dict[str, Any]) -> None:
    runs = {task.artifact.require().flow_run_id for task in chain(parse(values))}
    assert len(runs) == 4
    assert "" not in runs


def test_a_second_run_takes_every_step_from_the_cache(
    first: State[Any], values: dict[str, Any]
) -> None:
    again = pipeline(parse(values), return_state=True)
    assert again.is_completed()
    assert {run.state_name for run in task_runs(again).values()} == {"Cached"}


def test_a_cached_state_counts_only_while_the_manifest_is_there(
    first: State[Any], values: dict[str, Any]
) -> None:
    export = next(task for task in chain(parse(values)) if task.step.name == "export")
    digest = export.artifact.require().content
    shutil.rmtree(export.artifact.uri)
    runs = task_runs(evaluate(parse(values), return_state=True))
    assert (runs["evaluate"].state_name, runs["export"].state_name) == ("Cached", "Completed")
    assert export.artifact.require().content == digest


def test_the_cache_key_is_the_place_in_the_lake(values: dict[str, Any], tmp_path: Path) -> None:
    def key(**changes: Any) -> str | None:
        work = chain(parse(values | changes))[-1]
        return ManifestPolicy().compute_key(
            TaskRunContext.model_construct(), {"work": work, "children": object(), "label": "x"}, {}
        )

    assert key() == key()
    assert (
        len({key(), key(name="other"), key(root=str(tmp_path)), key(dedup={"threshold": 0.7})}) == 4
    )


def test_a_failure_of_the_data_is_not_tried_again(
    first: State[Any], values: dict[str, Any]
) -> None:
    strict = {"max_source_loss": 0.0, "min_source_documents": 1, "threshold": 0.1}
    state = ingest(parse(values | {"dedup": strict}), return_state=True)
    with pytest.raises(GristmillError, match="dedup: source 'pydoc' loses"):
        state.result()
    assert task_runs(state)["dedup"].run_count == 1


@pytest.fixture(scope="module")
def deployed(server: None) -> dict[str, DeploymentResponse]:
    """Name -> deployment, as `prefect deploy` makes them."""
    environment = {
        **os.environ,
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "GRISTMILL_HOME": "/the/deployers",
    }
    for command in (["work-pool", "create", "gristmill", "--type", "process"], ["deploy", "--all"]):
        subprocess.run(
            [*PREFECT, *command], cwd=REPO, env=environment, check=True, capture_output=True
        )
    with get_client(sync_client=True) as client:
        return {deployment.name: deployment for deployment in client.read_deployments()}


@pytest.mark.parametrize("login", ["user:hunter2@", ""])
def test_the_form_takes_no_password_in_an_address_and_prefect_stores_none(
    deployed: dict[str, DeploymentResponse], login: str
) -> None:
    said = {"parameters": {"input": [f"https://{login}host/x.warc.gz{'' if login else '?sig=1'}"]}}
    plain = {"parameters": {"input": ["https://host/x.warc.gz", "crawl/part-?.gz", "s3://b/a?b"]}}
    made = deployed["ingest"].id
    with get_client(sync_client=True) as client:
        before = len(client.read_flow_runs())
        with pytest.raises(PrefectHTTPStatusError, match=r"422|409"):
            client.create_flow_run_from_deployment(made, parameters=said)
        assert len(client.read_flow_runs()) == before
        client.create_flow_run_from_deployment(made, parameters=plain)


def test_the_deployments_start_in_the_workers_checkout_one_run_at_a_time(
    deployed: dict[str, DeploymentResponse], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = deployed
    assert found.keys() == {"pipeline", "ingest", "train", "evaluate"}
    assert {
        d.global_concurrency_limit.limit for d in found.values() if d.global_concurrency_limit
    } == {1}
    assert [
        (s.active, getattr(s.schedule, "cron", "")) for d in found.values() for s in d.schedules
    ] == [(False, "0 2 * * *")]
    monkeypatch.chdir(REPO)
    monkeypatch.setenv("GRISTMILL_HOME", str(tmp_path))
    asyncio.run(run_steps(found["pipeline"].pull_steps or []))
    assert Path.cwd() == tmp_path


def test_the_form_leaves_to_the_preset_what_is_left_empty() -> None:
    properties = PipelineParameters.model_json_schema()["properties"]
    for section, fields in {
        "tokenizer": {"type", "vocab_size"},
        "tokenize": {"split_by", "val_fraction"},
        "dedup": set(),
    }.items():
        shown = properties[section]["properties"]
        assert {name for name in shown if "default" not in shown[name]} == fields
    train = properties["train"]["properties"]
    for field in (
        *train.values(),
        *train["model"]["properties"].values(),
        *train["optimizer"]["properties"].values(),
    ):
        assert "default" not in field
        assert field.get("type") != "boolean", "a switch is sent as off"
        assert field["description"]


def started(arguments: list[str], values: dict[str, Any], folder: Path) -> "subprocess.Popen[str]":
    """The command with a long training, once that has saved a new checkpoint."""
    config = folder / "run.yaml"
    config.write_text(yaml.safe_dump(values | {"train": values["train"] | {"steps": 100_000}}))
    train = next(
        task
        for task in chain(parse(yaml.safe_load(config.read_text())))
        if task.step.name == "train"
    )
    seen = set(Path(train.artifact.uri).glob("step-*/COMPLETE"))
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPO),
        "PREFECT_HOME": str(folder / "prefect"),
        "GRISTMILL_LOGS": str(folder / "logs"),
        "SPARK_MASTER": "local[2]",
        MARK: str(folder),
    }
    command = [sys.executable, "-m", "flows.command.cli", *arguments, "--config", str(config)]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not set(Path(train.artifact.uri).glob("step-*/COMPLETE")) - seen:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no checkpoint"
        psutil.wait_procs([psutil.Process(process.pid)], timeout=0.05)
    return process


def living(folder: Path) -> list[psutil.Process]:
    """What is left of the command and all its children after at most half a minute."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return psutil.wait_procs(found, timeout=30)[1]


def test_a_failing_run_is_one_line_on_standard_error(
    first: State[Any], values: dict[str, Any], tmp_path: Path
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        yaml.safe_dump(values | {"name": "none", "filter": {"rules": {"r": "false"}}})
    )
    command = [sys.executable, "-m", "flows.command.cli", "run", "--config", str(config)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(REPO)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: tokenizer: ")
    assert "Beginning flow run" in done.stdout
    assert "Encountered an exception" not in done.stdout


def test_on_a_terminal_a_run_shows_a_bar_below_prefects_lines(
    first: State[Any], values: dict[str, Any], tmp_path: Path
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(values))
    (report,) = (task for task in chain(parse(values)) if task.step.name == "report")
    shutil.rmtree(report.artifact.uri)
    command = [sys.executable, "-m", "flows.command.cli", "run", "--config", str(config)]
    code, shown = on_a_terminal(
        command, {**os.environ, "PYTHONPATH": str(REPO), "TERM": "xterm", "COLUMNS": "120"}
    )
    assert code == 0, shown
    assert re.search(r"report.* at work for ", shown)
    assert "Finished in state" in shown


def test_a_killed_run_leaves_no_process_behind(
    first: State[Any], values: dict[str, Any], tmp_path: Path
) -> None:
    process = started(["run"], values, tmp_path)
    assert any(
        "flows.running.server" in child.cmdline()
        for child in psutil.Process(process.pid).children()
    )
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not living(tmp_path)


def test_an_interrupted_training_is_one_line_and_leaves_no_process_behind(
    first: State[Any], values: dict[str, Any], tmp_path: Path
) -> None:
    process = started(["train", "--input", "tokens/default"], values, tmp_path)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 130
    assert said == "interrupted; run it again to go on from what is there\n"
    assert not living(tmp_path)


def test_a_finished_run_prints_exactly_one_json_object(
    first: State[Any], values: dict[str, Any], tmp_path: Path
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "flows.command.cli", "run", "--json", "--config", str(config)]
    printed = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [step["hit"] for step in json.loads(printed)["steps"]] == [True] * 9
    assert len(printed.splitlines()) == 1
