"""Declared parameters as options: one each, in the declared type, and only what the user gave."""

from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from flows.command.options import option_fields, simple_type, with_options
from infra.parameters import option, parameters


@parameters
class Milling:
    """Parameters of every kind that a declaration may hold."""

    stones: int = option(2, "stones of the mill", unit="stones", ge=1)
    speed: float = option(1.5, "speed of the stones")
    grade: Literal["fine", "coarse"] = option("fine", "how fine")
    grains: list[str] = option(lambda: ["rye"], "what is milled")
    rules: dict[str, str] = option(lambda: {}, "rules by name")
    name: str = option("mill", "a name that the command itself has too")


def call(*arguments: str) -> dict[str, Any]:
    """What a command with these options receives."""
    seen: dict[str, Any] = {}

    def mill(
        own: dict[str, Any], name: Annotated[str, typer.Option(help="The artifacts' name")] = ""
    ) -> None:
        """Mill."""
        seen.update(own=own, name=name)

    app = typer.Typer()
    app.command()(with_options(mill, Milling))
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return seen


def test_only_what_was_given_is_passed_on() -> None:
    assert call() == {"own": {}, "name": ""}
    assert call("--stones", "3") == {"own": {"stones": 3}, "name": ""}


def test_values_have_the_declared_types() -> None:
    given = ("--speed", "2", "--grade", "coarse", "--grains", "oat", "--grains", "rye")
    assert call(*given)["own"] == {"speed": 2.0, "grade": "coarse", "grains": ["oat", "rye"]}


def test_an_option_of_the_command_itself_wins_over_a_parameter_of_its_name() -> None:
    assert call("--name", "night") == {"own": {}, "name": "night"}


def test_every_simple_parameter_is_an_option_with_its_unit_and_choices() -> None:
    fields = option_fields(Milling)
    assert fields["stones"] == (int, "stones of the mill (stones)")
    assert fields["grade"] == (str, "how fine (fine | coarse)")
    assert fields["grains"] == (list[str], "what is milled")
    assert "rules" not in fields


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, int),
        (bool, bool),
        (Literal["a", "b"], str),
        (list[int], list[int]),
        (dict[str, int], None),
        (list[dict[str, int]], None),
        (Milling, None),
    ],
)
def test_what_cannot_be_written_as_one_word_is_no_option(annotation: Any, expected: Any) -> None:
    assert simple_type(annotation) == expected
