"""The help of commands with parameters: every dotted key, with the value that would run."""

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from flows.chain.parameters import PipelineParameters, parse
from flows.chain.steps import STEPS, of_chain
from flows.command.cli import app
from flows.command.demo import demo_defaults, sample_parameters
from infra.declared import declared, shown, value_at
from infra.errors import UsageError
from infra.step import Step
from model.presets import PRESETS

CHAIN = [step.name for step in of_chain()]


def lines(*arguments: str, columns: int = 4000) -> list[str]:
    """What the help prints, without frames."""
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert all(cell_len(line) <= columns for line in result.stdout.splitlines())
    return [line.strip("│ ") for line in result.stdout.splitlines()]


def expected(step: Step, values: Any) -> list[str]:
    """The lines that show a step's parameters, one or several a key."""
    found = []
    for parameter in declared(step.parameters, step.name):
        value = value_at(values, parameter.key)
        if isinstance(value, dict):
            items = [f"{name}: {shown(each)}" for name, each in value.items()]
            found += [f"{parameter.key} =", *items]
        else:
            found.append(f"{parameter.key} = {shown(value)}")
    return found


def require(said: list[str], step: Step, parameters: PipelineParameters) -> None:
    """Each key of the step stands there with its value, with or without an option before it."""
    without_option = {line.partition(", ")[2] if line.startswith("--") else line for line in said}
    missing = [
        line for line in expected(step, parameters.section(step.name)) if line not in without_option
    ]
    assert not missing


@pytest.mark.parametrize("preset", PRESETS)
def test_the_help_of_a_run_shows_every_key_with_the_value_that_the_preset_runs(preset: str) -> None:
    said = lines("run", "--preset", preset, "--help")
    for step in of_chain():
        require(said, step, parse({"preset": preset}))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", CHAIN)
def test_the_help_of_a_step_shows_its_keys_with_the_values_that_the_preset_runs(
    name: str, preset: str
) -> None:
    require(lines(name, "--preset", preset, "--help"), STEPS[name], parse({"preset": preset}))


def test_the_shape_of_the_model_and_the_optimizer_are_there() -> None:
    said = lines("train", "--help")
    assert "train.model.layers = 4" in said
    assert "train.optimizer.adamw_lr = 0.005" in said
    assert "--steps, train.steps = 300" in said


def test_without_a_preset_the_default_one_is_shown() -> None:
    assert lines("run", "--help") == lines("run", "--preset", "tiny", "--help")


@pytest.mark.parametrize("name", ["train", "run", "plan"])
def test_the_help_may_stand_before_the_preset(name: str) -> None:
    before = lines(name, "--help", "--preset", "llama_7b")
    assert before == lines(name, "--preset=llama_7b", "--help")
    assert "train.model.width = 4096" in before


def test_what_the_same_call_sets_otherwise_is_shown(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("preset: gpt2_small\ntrain: {steps: 7}\n")
    said = lines("train", "--config", str(config), "--set", "train.model.layers=3", "--help")
    assert "--steps, train.steps = 7" in said
    assert "train.model.layers = 3" in said
    assert "train.model.width = 768" in said


def test_a_wrong_preset_is_one_line_with_the_nearest_also_for_the_help() -> None:
    result = CliRunner().invoke(app, ["train", "--help", "--preset", "tini"])
    assert isinstance(result.exception, UsageError)
    assert "nearest: 'tiny'" in str(result.exception)


def test_type_limits_choices_and_unit_stand_below_a_key() -> None:
    said = lines("tokenize", "--help")
    below = {key: said[place + 1] for place, key in enumerate(said[:-1])}
    key = "--file-tokens, tokenize.file_tokens = 32000000"
    assert below[key] == "about how many tokens a file holds (int, >= 1, tokens)"
    assert below["--val-fraction, tokenize.val_fraction = 0.01"].endswith("(float, >= 0, < 1)")
    assert below["--split-by, tokenize.split_by = doc"].endswith("(doc | tail)")


def test_square_brackets_are_shown_as_they_are() -> None:
    assert "--languages, filter.languages = []" in lines("filter", "--help")
    said = lines("evaluate", "--help")
    assert '--prompts, evaluate.prompts = ["", "The ", "In this "]' in said


def test_the_help_of_the_demo_shows_the_rules_of_the_demo() -> None:
    require(lines("demo", "--help"), STEPS["filter"], parse(demo_defaults()))
    assert not any(line.startswith("c4_curly_bracket:") for line in lines("demo", "--help"))


def test_the_sample_shows_the_environment_that_it_would_document() -> None:
    shown_lines = lines("sample", "--help")
    assert f"--environment, sample.environment = {sample_parameters({}).environment}" in shown_lines


@pytest.mark.parametrize("name", ["run", "demo", "sample", *CHAIN])
def test_the_help_fits_in_eighty_columns(name: str) -> None:
    assert lines(name, "--help", columns=80)
