"""The registry: each model once, and a champion that moves when it is told to."""

import os
from pathlib import Path

import pytest

from infra import tracking
from infra.settings import settings

DIGEST = "a" * 64


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


@pytest.mark.parametrize("users", [None, "sqlite:///users.db"])
def test_registering_leaves_the_environment_of_children_as_it_was(
    root: str, monkeypatch: pytest.MonkeyPatch, users: str | None
) -> None:
    if users:  # set after the settings were read: who registers still means this lake
        settings()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", users)
    digest = f"{len(users or ''):064d}"
    tracking.register_model(root, "quiet", f"{root}/models/demo/4", digest, "", {})
    log = tracking.RunLog(root, digest, "quiet")
    log.checkpoint(1, f"{root}/checkpoints/demo/x/step-00000001", {"val_loss": 0.5})
    log.close("FINISHED")
    assert os.environ.get("MLFLOW_TRACKING_URI") == users
    assert "MLFLOW_REGISTRY_URI" not in os.environ


def test_each_lake_has_its_own_champion_in_one_process(root: str, tmp_path: Path) -> None:
    places = {root: "5" * 64, str(tmp_path / "other"): "6" * 64}
    for place, digest in places.items():
        uri = f"{place}/models/demo/5"
        version = tracking.register_model(place, "twice", uri, digest, "", {})
        tracking.promote(place, "twice", version)
        settings.cache_clear()
    for place, digest in places.items():
        standing = tracking.champion(place, "twice")
        assert standing is not None and standing["digest"] == digest
