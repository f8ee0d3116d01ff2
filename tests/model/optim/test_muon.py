"""Muon: updates with singular values near one, whatever the gradient's scale and the sharding."""

import sys
from pathlib import Path

import pytest
import torch

from infra.process import run
from model.optim.muon import Muon, orthogonalise

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("shape", [(32, 32), (16, 64), (64, 16)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    values = torch.linalg.svdvals(orthogonalise(matrix, 5))
    assert values.min() > 0.3 and values.max() < 1.3


def test_the_step_of_muon_does_not_depend_on_the_gradients_scale() -> None:
    results = []
    for scale in (1.0, 1000.0):
        parameter = torch.nn.Parameter(torch.zeros(8, 8))
        parameter.grad = scale * torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
        Muon([parameter], lr=0.1).step()
        results.append(parameter.detach())
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_a_sharded_matrix_is_updated_as_the_whole_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "model.launch", "2", "tests.model.optim.sharded_muon"]
    events = list(
        run(
            command,
            tmp_path / "log",
            "sharded Muon",
            {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
    )
    assert [event["event"] for event in events] == ["compared"]
    assert events[0]["difference"] < 1e-6
    assert events[0]["state"] == "DTensor"
