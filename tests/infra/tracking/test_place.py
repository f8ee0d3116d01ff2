"""Where MLflow is: a database that is whole, failures that say where and hide the password."""

import os
from pathlib import Path

import pytest

from infra import secrets, tracking
from infra.errors import GristmillError, UsageError
from infra.settings import settings

DIGEST = "a" * 64
SECRET = "hunter2"


def test_a_database_whose_making_was_killed_is_not_used(tmp_path: Path) -> None:
    torn = tmp_path / "lake" / "mlflow.db.0123.tmp"
    torn.parent.mkdir()
    torn.write_bytes(b"half a database")
    root = str(torn.parent)
    assert tracking.run_id_for(root, DIGEST, "demo")
    assert sorted(p.name for p in torn.parent.iterdir()) == ["mlflow.db", torn.name]


def test_the_database_is_its_users_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert tracking.run_id_for(str(tmp_path / "lake"), DIGEST, "demo")
    finally:
        os.umask(before)
    (database,) = (tmp_path / "lake").glob("mlflow.db*")
    assert database.stat().st_mode & 0o777 == 0o600


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


def test_the_page_of_a_lake_without_a_server_is_opened_by_a_command(root: str) -> None:
    said = tracking.ui_command(root, "bin/gristmill")
    assert said == f"bin/gristmill serve mlflow --root {root}"
    assert tracking.run_page(root, "0" * 32) == ""


def test_the_address_of_a_server_is_shown_without_its_password(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://user:{SECRET}@host/mlflow?token={SECRET}")
    settings.cache_clear()
    assert tracking.ui_command(root) == "mlflow server is at https://host/mlflow"
    assert tracking.run_page(root, "") == ""
    with pytest.raises(UsageError, match=r"the server is at https://host/mlflow; open that"):
        tracking.server(root, "127.0.0.1", 5000, {})


def test_passwords_of_a_server_are_on_no_command_line(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://user:{SECRET}@host/runs")
    settings.cache_clear()
    known = dict.fromkeys(secrets.NAMES, SECRET)
    command, environment = tracking.server(root, "127.0.0.1", 5000, known)
    assert SECRET not in " ".join(command)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"postgresql://user:{SECRET}@host/runs"


def test_a_lake_on_s3_keeps_its_database_with_the_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_LOGS", str(tmp_path / "logs"))
    settings.cache_clear()
    assert tracking.uri_for("s3://bucket/lake") == f"sqlite:///{tmp_path}/logs/mlflow.db"
    assert (tmp_path / "logs").is_dir()
