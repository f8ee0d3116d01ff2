"""The run of a training: one a digest, metrics that arrive, nothing of the environment."""

import os
from pathlib import Path

import pytest

from infra import tracking
from infra.errors import GristmillError
from infra.lake import Artifact

DIGEST = "a" * 64
SECRET = "hunter2"


def client(root: str) -> tracking.MlflowClient:
    """MLflow's own client, to look at what was logged."""
    return tracking.MlflowClient(tracking.uri_for(root))


def test_a_training_has_one_run_however_often_it_starts(root: str) -> None:
    first = tracking.run_id_for(root, DIGEST, "demo")
    assert first
    assert tracking.run_id_for(root, DIGEST, "demo") == first
    assert tracking.run_id_for(root, "b" * 64, "demo") != first
    assert client(root).get_run(first).data.tags[tracking.DIGEST_TAG] == DIGEST
    assert Path(root, "mlflow.db").is_file()


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
    assert run.inputs is not None and run.outputs is not None
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("tokens/default", "d" * 12)
    (pointer,) = run.outputs.model_outputs
    assert client(root).get_logged_model(pointer.model_id).tags["uri"].endswith("step-00002999")
    assert tracking.history(root, run_id, "train_loss") == [
        (step, 1.0 / (step + 1)) for step in range(3000)
    ]


def test_a_checkpoint_whose_files_are_gone_leaves_the_run(root: str) -> None:
    digest = "9" * 64

    def uris(run_id: str) -> list[str]:
        experiment = client(root).get_run(run_id).info.experiment_id
        found = client(root).search_logged_models([experiment], f"source_run_id = '{run_id}'")
        return sorted(model.tags["uri"] for model in found)

    other = tracking.RunLog(root, digest, "same-training-other-name")
    other.checkpoint(1, "other/1", {})
    other.close("FINISHED")
    killed = tracking.RunLog(root, digest, "demo")
    for step in (1, 2, 3):
        killed.checkpoint(step, f"demo/{step}", {"val_loss": 1.0 / step})
        killed.kept(range(step, step + 1))
    killed.checkpoint(4, "demo/4", {})
    killed.close("KILLED")
    assert uris(killed.run_id) == ["demo/3", "demo/4", "other/1"]
    resumed = tracking.RunLog(root, digest, "demo")
    resumed.kept([3])  # the fourth was never complete
    resumed.checkpoint(4, "demo/4-again", {})
    resumed.kept([4])
    resumed.close("FINISHED")
    assert uris(resumed.run_id) == ["demo/4-again", "other/1"]
    run = client(root).get_run(resumed.run_id)
    assert run.outputs is not None
    left = [client(root).get_logged_model(o.model_id) for o in run.outputs.model_outputs]
    assert sorted(model.tags["uri"] for model in left) == ["demo/4-again", "other/1"]


def test_a_page_of_a_run_is_replaced(root: str, tmp_path: Path) -> None:
    run_id = tracking.run_id_for(root, "8" * 64, "demo")
    for page in ("<p>first</p>", "<p>Mühle</p>"):
        tracking.log_page(root, run_id, "report.html", page)
    read = client(root).download_artifacts(run_id, "report.html", str(tmp_path))
    assert Path(read).read_text(encoding="utf-8") == "<p>Mühle</p>"


def test_a_resumed_run_continues_and_its_last_value_counts(root: str) -> None:
    for values in ({0: 3.0, 1: 2.0}, {1: 1.5, 2: 1.0}):
        log = tracking.RunLog(root, "e" * 64, "demo")
        for step, value in values.items():
            log.metrics(step, {"loss": value})
        log.close("KILLED")
    assert tracking.history(root, log.run_id, "loss") == [(0, 3.0), (1, 1.5), (2, 1.0)]


def test_a_source_in_the_lake_is_a_pointer_that_mlflow_does_not_load() -> None:
    source = tracking.LakeSource("s3://bucket/lake/tokens/default")
    assert tracking.LakeSource.from_dict(source.to_dict()).uri == source.uri
    with pytest.raises(GristmillError, match="read it with `gristmill show`"):
        source.load()


def test_nothing_of_the_environment_is_logged(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    run_id = tracking.run_id_for(root, "f" * 64, "demo")
    assert set(client(root).get_run(run_id).data.tags) == {tracking.DIGEST_TAG, "mlflow.runName"}
    assert SECRET.encode() not in Path(root, "mlflow.db").read_bytes()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
