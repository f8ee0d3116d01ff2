"""What parameter classes declare, key by key, in words."""

from typing import Literal

import pytest

from infra.declared import declared, shown, value_at
from infra.parameters import option, parameters


@parameters
class Stones:
    """A part of the mill."""

    width: float = option(1.5, "width of a stone", unit="metres", gt=0, lt=9)
    form: Literal["flat", "curved"] = option("flat", "form of a stone")


@parameters
class Mill:
    """Parameters of every kind."""

    stones: Stones = option(Stones, "the stones")
    name: str = option("", "who it belongs to", min_length=0)
    grains: list[str] = option(list, "what is milled")
    rules: dict[str, float] = option(dict, "rules by name")
    workers: int = option(2, "millers at work", unit="millers", identity=False, ge=1)


def test_nested_classes_give_dotted_keys_in_the_order_of_the_declaration() -> None:
    keys = [each.key for each in declared(Mill, "mill")]
    nested = ["mill.stones.width", "mill.stones.form"]
    assert keys == [*nested, "mill.name", "mill.grains", "mill.rules", "mill.workers"]


def test_type_limits_unit_and_identity_are_told_in_words() -> None:
    facts = {each.key: each.facts for each in declared(Mill, "mill")}
    assert facts["mill.stones.width"] == "float, > 0, < 9, metres"
    assert facts["mill.stones.form"] == "flat | curved"
    assert facts["mill.grains"] == "list of str"
    assert facts["mill.rules"] == "str -> float"
    assert facts["mill.workers"] == "int, >= 1, millers, changes no result"


def test_the_meaning_does_not_repeat_the_unit() -> None:
    (width, *_) = declared(Mill, "mill")
    assert (width.meaning, width.unit, width.owner) == ("width of a stone", "metres", Stones)


def test_a_key_leads_to_its_value() -> None:
    mill = Mill(stones=Stones(width=2.5), workers=7)
    assert value_at(mill, "mill.stones.width") == 2.5
    assert value_at(mill, "mill.workers") == 7


@pytest.mark.parametrize(
    ("value", "text"),
    [("bpe", "bpe"), ("", '""'), ("The ", '"The "'), (True, "true"), ([], "[]"), (0.005, "0.005")],
)
def test_a_value_is_shown_as_yaml_takes_it(value: object, text: str) -> None:
    assert shown(value) == text
