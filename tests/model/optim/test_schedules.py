"""Learning rates: up to the peak, down to the final fraction, level where they should be."""

from typing import Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import OptimizerParameters, TrainParameters
from model.optim import lr_at
from model.optim.schedules import SCHEDULES

Name = Literal["cosine", "wsd", "linear"]
NAMES: tuple[Name, ...] = get_args(Name)


@settings(deadline=None)
@given(
    st.sampled_from(NAMES),
    st.integers(1, 300),
    st.integers(0, 50),
    st.floats(0, 1, width=16),
    st.floats(0, 1, width=16),
)
def test_every_schedule_rises_to_one_and_falls_to_the_final_fraction(
    name: Name, steps: int, warmup: int, final: float, decay: float
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


def test_every_schedule_can_be_configured() -> None:
    assert sorted(SCHEDULES) == sorted(NAMES)
