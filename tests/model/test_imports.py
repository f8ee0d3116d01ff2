"""What an import loads: who only uses a model, or only plans, does not pay for the rest."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPORT = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "model" / "export").rglob("*.py")
)


def loaded_by(module: str) -> set[str]:
    """The modules that a fresh interpreter has after importing `module`."""
    code = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["model.evaluate", "model.generate", *EXPORT])
def test_using_a_final_model_does_without_distributed_checkpoints(module: str) -> None:
    loaded = loaded_by(module)
    assert module in loaded
    assert "torch.distributed.checkpoint" not in loaded


def test_a_training_has_distributed_checkpoints() -> None:
    assert "torch.distributed.checkpoint" in loaded_by("model.train")


@pytest.mark.parametrize("module", ["model.steps", "model.config", "model.presets"])
def test_planning_a_step_does_without_torch(module: str) -> None:
    loaded = loaded_by(module)
    assert module in loaded
    assert "torch" not in loaded


@pytest.mark.parametrize("name", ["split", "order", "permutation"])
def test_asking_what_a_training_saw_does_without_torch(name: str) -> None:
    loaded = loaded_by(f"model.data.{name}")
    assert "numpy" in loaded
    assert "torch" not in loaded
