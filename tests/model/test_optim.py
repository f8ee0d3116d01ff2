"""Muon, the division of parameters between the optimizers, and the schedules."""

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infra.process import run
from model.architectures import build_model, init_weights
from model.config import ModelConfig, OptimizerParameters, TrainParameters
from model.objectives import OBJECTIVES
from model.optim import build_optimizers, lr_at, set_rate
from model.optim.muon import Muon, orthogonalise
from model.optim.schedules import SCHEDULES

SMALL = ModelConfig(
    vocab_size=20,
    context_tokens=8,
    layers=1,
    heads=2,
    width=16,
    ffn_width=24,
    tied=False,
    conv_tokens=2,
)
ROOT = Path(__file__).parents[2]


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


def test_matrices_of_the_blocks_go_to_muon_and_all_else_to_adamw() -> None:
    model = build_model(SMALL)
    muon, adamw = build_optimizers(model, TrainParameters(model=SMALL))
    names = {p: name for name, p in model.named_parameters()}
    in_muon = {names[p] for group in muon.param_groups for p in group["params"]}
    in_adamw = {names[p] for group in adamw.param_groups for p in group["params"]}
    parts = (
        "attention.query",
        "attention.key",
        "attention.value",
        "attention.output",
        "feed_forward.gate",
        "feed_forward.up",
        "feed_forward.down",
    )
    assert in_muon == {f"blocks.0.{part}.weight" for part in parts}
    assert in_muon | in_adamw == set(names.values()) and not in_muon & in_adamw


def test_gains_and_taps_do_not_decay() -> None:
    model = build_model(SMALL)
    parameters = TrainParameters(model=SMALL, optimizer=OptimizerParameters(weight_decay=0.1))
    for optimizer in build_optimizers(model, parameters):
        for group in optimizer.param_groups:
            assert {p.ndim == 2 for p in group["params"]} == {group["weight_decay"] > 0}


def test_two_steps_on_one_batch_lower_its_loss() -> None:
    model = build_model(SMALL)
    init_weights(model, SMALL, 1)
    optimizers = build_optimizers(model, TrainParameters(model=SMALL))
    tokens = torch.randint(20, (4, 9), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(3):
        nats, count = OBJECTIVES["causal"](model, tokens)
        losses.append(nats.item() / count)
        nats.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert losses[0] > losses[1] > losses[2]


def test_set_rate_scales_every_groups_peak() -> None:
    chosen = OptimizerParameters(muon_lr=0.04, adamw_lr=0.01, head_lr=0.002)
    optimizers = build_optimizers(
        build_model(SMALL), TrainParameters(model=SMALL, optimizer=chosen)
    )
    set_rate(optimizers, 0.5)
    set_rate(optimizers, 0.25)
    assert [group["lr"] for optimizer in optimizers for group in optimizer.param_groups] == [
        0.01,
        0.0025,
        0.0005,
        0.0025,
    ]


def test_a_sharded_matrix_is_updated_as_the_whole_one(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "tests.model.sharded_muon",
    ]
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


@given(
    st.sampled_from(sorted(SCHEDULES)),
    st.integers(1, 300),
    st.integers(0, 50),
    st.floats(0, 1, width=16),
    st.floats(0, 1, width=16),
)
def test_every_schedule_rises_to_one_and_falls_to_the_final_fraction(
    name: str, steps: int, warmup: int, final: float, decay: float
) -> None:
    optimizer = OptimizerParameters(
        schedule=name, warmup_steps=warmup, final_lr_fraction=final, decay_fraction=decay
    )
    parameters = TrainParameters(steps=steps + warmup, optimizer=optimizer)
    rates = [lr_at(step, parameters) for step in range(steps + warmup + 1)]
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates[:warmup] == sorted(rates[:warmup]) and rates[warmup] == 1
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    if name != "wsd" or decay > 0:
        assert rates[-1] == pytest.approx(final)


def test_wsd_stays_at_the_peak_until_its_decay() -> None:
    parameters = TrainParameters(
        steps=100, optimizer=OptimizerParameters(schedule="wsd", decay_fraction=0.2)
    )
    assert [lr_at(step, parameters) for step in (0, 50, 80, 90)] == pytest.approx([1, 1, 1, 0.5])


def test_a_preset_changed_in_one_field_keeps_the_others() -> None:
    parameters = dataclasses.replace(TrainParameters(), steps=7)
    assert parameters.steps == 7 and parameters.model == ModelConfig()
