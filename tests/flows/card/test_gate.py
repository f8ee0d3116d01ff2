"""The gate on a real MLflow registry: who becomes champion, and what a report that died leaves."""

import pytest

from flows.card.gate import gate
from flows.card.write import run
from infra import tracking
from infra.errors import GristmillError
from infra.lake import Lake
from infra.manifest import Manifest
from infra.step import Task
from tests.flows.card.lakes import a_run
from tests.flows.card.pages import page_of


def scores_of(task: Task) -> Manifest:
    """The manifest that the gate decides by."""
    return task.inputs["scores"].require()


def champion_of(lake: Lake) -> tuple[str, str]:
    """Version and digest of the champion."""
    standing = tracking.champion(lake.root, "gristmill")
    assert standing is not None
    return standing["version"], standing["digest"]


def test_a_better_model_becomes_champion_and_its_card_shows_the_one_it_beat(lake: Lake) -> None:
    run(a_run(lake, bits=2.0))
    better = a_run(lake, bits=1.9, seed=2)
    assert run(better).details["champion"] is True
    assert champion_of(lake) == ("2", better.inputs["models"].digest)
    said = "takes over from version 1: 1.9000 bits per byte instead of 2.0000"
    assert said in page_of(better).words


@pytest.mark.parametrize("bits", [2.0, 2.1])
def test_a_worse_or_equal_model_is_registered_but_does_not_move_the_champion(
    lake: Lake, bits: float
) -> None:
    first = a_run(lake, bits=2.0)
    run(first)
    manifest = run(a_run(lake, bits=bits, seed=2))
    assert (manifest.details["champion"], manifest.details["model_version"]) == (False, "2")
    assert champion_of(lake) == ("1", first.inputs["models"].digest)


def test_a_report_that_died_after_the_gate_gives_the_same_verdict_and_version(lake: Lake) -> None:
    run(a_run(lake, bits=2.0))
    task = a_run(lake, bits=1.9, seed=2)
    verdict = gate(task, scores_of(task))
    assert gate(task, scores_of(task)) == verdict
    manifest = run(task)
    assert (manifest.details["champion"], manifest.details["model_version"]) == (True, "2")
    assert "takes over from version 1" in page_of(task).words


def test_a_verdict_is_taken_back_when_a_better_champion_came_in_between(lake: Lake) -> None:
    task = a_run(lake, bits=2.0)
    assert gate(task, scores_of(task))["champion"] is True
    run(a_run(lake, bits=1.9, seed=2))
    assert run(task).details["champion"] is False
    assert champion_of(lake)[0] == "2"


def test_a_second_report_on_the_champion_says_so(lake: Lake) -> None:
    run(a_run(lake, bits=2.0))
    again = a_run(lake, bits=2.0, title="Another heading")
    assert run(again).details["model_version"] == "1"
    assert "This model is the champion already" in page_of(again).words


def test_a_model_without_a_finite_score_is_not_registered(lake: Lake) -> None:
    task = a_run(lake, bits=float("nan"))
    with pytest.raises(GristmillError, match="no finite val_bits_per_byte"):
        run(task)
    assert task.artifact.manifest() is None
    assert tracking.champion(lake.root, "gristmill") is None
