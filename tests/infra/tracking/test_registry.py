"""The registry: each model once, and a champion that moves when it is told to."""

from infra import tracking

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
