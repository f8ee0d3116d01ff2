"""MLflow as a server that cannot see the lake: what a run leaves there can be read from there."""

import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra import tracking
from infra.lake import Lake
from infra.process import Child
from infra.settings import settings
from tests.model.export.test_mlflow_model import QWEN3, answers, exported, promoted

ATTEMPTS = 600


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A tracking server of the test's own, and the environment that names it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = f"sqlite:///{tmp_path}/server.db"
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    options += ["--backend-store-uri", place, "--artifacts-destination", str(tmp_path / "files")]
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", *options]
    with Child(command, tmp_path / "server.log") as child:
        wait_for(f"{uri}/health", child)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        settings.cache_clear()
        yield uri
        child.stop(5)
    settings.cache_clear()


def wait_for(page: str, child: Child) -> None:
    """Until the server answers."""
    for _ in range(ATTEMPTS):
        try:
            urllib.request.urlopen(page, timeout=5)
            return
        except OSError:
            psutil.wait_procs(child.tree()[:1], timeout=0.2)
    raise AssertionError(child.failure("mlflow server"))


def test_a_server_gets_the_champion_the_card_and_only_the_checkpoints_that_are_there(
    address: str, lake: Lake, tmp_path: Path
) -> None:
    log = tracking.RunLog(lake.root, "a" * 64, "demo")
    for step in (1, 2):
        log.checkpoint(step, f"{lake.root}/checkpoints/demo/x/step-{step:08d}", {"val_loss": 1.0})
    log.kept([2])
    log.close("FINISHED", {"val_loss": 1.0})
    tracking.log_page(lake.root, log.run_id, "report.html", "<p>card</p>")
    model, expected = exported(lake, "bytes", QWEN3)
    promoted(lake, "served", model)
    client = tracking.MlflowClient(address)
    page = client.download_artifacts(log.run_id, "report.html", str(tmp_path))
    assert Path(page).read_text() == "<p>card</p>"
    outputs = client.get_run(log.run_id).outputs
    assert outputs is not None
    assert [output.step for output in outputs.model_outputs] == [2]
    greedy, _, pipelined = answers(lake, ["served"], tmp_path)["served"]
    assert greedy == pipelined == expected
