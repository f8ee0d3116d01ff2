"""MLflow on SQLite, for real: one run a digest, metrics that arrive, a registry with a champion, and failures that stay harmless."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import tracking
from infra.errors import GristmillError
from infra.lake import Artifact
from infra.settings import settings

DIGEST = "a" * 64
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    settings.cache_clear()
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    yield
    settings.cache_clear()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One lake for the module: the database's tables take seconds to make."""
    return str(tmp_path_factory.mktemp("tracking") / "lake")


def client(root: str) -> tracking.MlflowClient:
    return tracking.MlflowClient(tracking.uri_for(root))


def test_a_training_has_one_run_however_often_it_starts(root: str) -> None:
    first = tracking.run_id_for(root, DIGEST, "demo")
    assert first
    assert tracking.run_id_for(root, DIGEST, "demo") == first
    assert tracking.run_id_for(root, "b" * 64, "demo") != first
    assert client(root).get_run(first).data.tags[tracking.DIGEST_TAG] == DIGEST
    assert Path(root, "mlflow.db").is_file()


def test_a_database_whose_making_was_killed_is_not_used(tmp_path: Path) -> None:
    torn = tmp_path / "lake" / "mlflow.db.0123.tmp"
    torn.parent.mkdir()
    torn.write_bytes(b"half a database")
    root = str(torn.parent)
    assert tracking.run_id_for(root, DIGEST, "demo")
    assert sorted(p.name for p in torn.parent.iterdir()) == ["mlflow.db", torn.name]


def test_everything_logged_arrives_before_close_returns(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = tracking.run_id_for(root, "c" * 64, "demo")
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    tokens = Artifact(root, "tokens", "default", "d" * 64)
    log = tracking.RunLog(root, "c" * 64, "demo")
    log.begin({"steps": 3000, "model": {"width": 8}}, tokens)
    for step in range(3000):
        log.metrics(step, {"train_loss": 1.0 / (step + 1)})
    log.checkpoint(2999, f"{root}/checkpoints/demo/x/step-00002999", {"val_loss": 0.5})
    log.close("FINISHED", {"val_bits_per_byte": 1.25})
    run = client(root).get_run(run_id)
    assert run.data.params == {"steps": "3000", "model.width": "8"}
    assert run.data.metrics["final_val_bits_per_byte"] == 1.25
    assert run.info.status == "FINISHED"
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("tokens/default", "d" * 12)
    (pointer,) = run.outputs.model_outputs
    assert client(root).get_logged_model(pointer.model_id).tags["uri"].endswith("step-00002999")
    assert tracking.history(root, run_id, "train_loss") == [
        (step, 1.0 / (step + 1)) for step in range(3000)
    ]


def test_a_resumed_run_continues_and_its_last_value_counts(root: str) -> None:
    for values in ({0: 3.0, 1: 2.0}, {1: 1.5, 2: 1.0}):
        log = tracking.RunLog(root, "e" * 64, "demo")
        for step, value in values.items():
            log.metrics(step, {"loss": value})
        log.close("KILLED")
    assert tracking.history(root, log.run_id, "loss") == [(0, 3.0), (1, 1.5), (2, 1.0)]


def test_the_champion_moves_when_promoted(root: str) -> None:
    assert tracking.champion(root, "new-model") is None
    run_id = tracking.run_id_for(root, DIGEST, "demo")
    first = tracking.register_model(
        root, "new-model", f"{root}/models/demo/1", "1" * 64, run_id, {"val_bits_per_byte": 2.0}
    )
    assert tracking.champion(root, "new-model") is None
    tracking.promote(root, "new-model", first)
    second = tracking.register_model(
        root, "new-model", f"{root}/models/demo/2", "2" * 64, run_id, {"val_bits_per_byte": 1.5}
    )
    assert second != first
    standing = tracking.champion(root, "new-model")
    assert standing is not None
    assert (standing["version"], standing["val_bits_per_byte"], standing["run_id"]) == (
        first,
        2.0,
        run_id,
    )
    assert standing["scores"] == {"val_bits_per_byte": 2.0}
    tracking.promote(root, "new-model", second)
    standing = tracking.champion(root, "new-model")
    assert standing is not None
    assert (standing["version"], standing["digest"], standing["uri"]) == (
        second,
        "2" * 64,
        f"{root}/models/demo/2",
    )


def test_the_same_model_is_registered_once(root: str) -> None:
    arguments = ("once", f"{root}/models/demo/3", "3" * 64, "", {"val_bits_per_byte": 2.0})
    assert tracking.register_model(root, *arguments) == tracking.register_model(root, *arguments)


def test_a_server_that_does_not_answer_costs_one_warning_without_its_credentials(
    root: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", f"http://user:{SECRET}@127.0.0.1:9/mlflow?token={SECRET}"
    )
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings.cache_clear()
    log = tracking.RunLog(root, DIGEST, "demo")
    log.metrics(1, {"loss": 1.0})
    log.close("FINISHED", {"val_loss": 1.0})
    said = capsys.readouterr().err
    assert said.count("warning: MLflow at http://127.0.0.1:9/mlflow failed") == 1
    assert SECRET not in said
    assert os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "true"
    with pytest.raises(GristmillError, match=r"127\.0\.0\.1:9") as caught:
        tracking.champion(root, "x")
    assert SECRET not in str(caught.value)


def test_nothing_of_the_environment_is_logged(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    run_id = tracking.run_id_for(root, "f" * 64, "demo")
    assert set(client(root).get_run(run_id).data.tags) == {tracking.DIGEST_TAG, "mlflow.runName"}
    assert SECRET.encode() not in Path(root, "mlflow.db").read_bytes()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
