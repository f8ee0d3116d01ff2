"""Parameters: checked when made, one clear line for what is wrong, an identity of what counts."""

import dataclasses

import pytest

from infra.errors import UsageError
from infra.parameters import build, flatten, identity_of, option, parameters, plain


@parameters
class Rules:
    """A nested section."""

    threshold: float = option(0.8, "similarity", ge=0, le=1)
    words: list[str] = option(list, "words")


@parameters
class Example:
    """A step's parameters."""

    size: int = option(..., "how many", unit="documents", ge=1)
    partitions: int = option(0, "tasks", identity=False)
    rules: Rules = option(Rules, "section")
    maybe: Rules | None = option(None, "section that may be absent")
    many: list[Rules] = option(list, "sections")
    weights: dict[str, float] = option(lambda: {"a": 1.0}, "by name")


def test_a_key_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown key 'step\.sise'; nearest: 'size'"):
        build(Example, {"sise": 3}, "step")


@pytest.mark.parametrize(
    "section", [{"rules": {"treshold": 1}}, {"maybe": {"treshold": 1}}, {"many": [{"treshold": 1}]}]
)
def test_a_wrong_key_in_a_section_names_the_nearest_of_the_section(
    section: dict[str, object],
) -> None:
    with pytest.raises(
        UsageError, match=r"unknown key '\w+(\.0)?\.treshold'; nearest: 'threshold'"
    ):
        build(Example, {"size": 1, **section})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"size": 0}, r"size: Input should be greater than or equal to 1 \(got 0\)"),
        ({"size": "many"}, r"size: .*valid integer.*\(got 'many'\)"),
        ({"size": 1, "rules": {"threshold": 1.5}}, r"rules\.threshold: .*less than or equal to 1"),
        ({"size": 1, "rules": 7}, r"rules: .*\(got 7\)"),
        ({}, "size: Field required"),
    ],
)
def test_a_wrong_value_is_named_with_its_dotted_key(values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build(Example, values)


def test_the_message_is_one_short_line_however_long_the_value() -> None:
    with pytest.raises(UsageError) as caught:
        build(Example, {"size": "a\nb" * 10_000})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_parameters_are_frozen_and_defaults_are_not_shared() -> None:
    one, other = Example(size=1), Example(size=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.size = 2  # type: ignore[misc]
    assert one.weights == other.weights
    assert one.weights is not other.weights


def test_only_what_changes_the_result_is_in_the_identity() -> None:
    assert identity_of(Example(size=1, partitions=4)) == identity_of(Example(size=1, partitions=8))
    assert identity_of(Example(size=1, rules=Rules(threshold=0.5))) != identity_of(Example(size=1))
    assert "partitions" not in identity_of(Example(size=1))


def test_an_int_given_for_a_float_has_the_same_identity() -> None:
    one = identity_of(build(Rules, {"threshold": 1}))
    assert one == {"threshold": 1.0, "words": []}
    assert isinstance(one["threshold"], float)


def test_plain_data_builds_the_same_parameters() -> None:
    example = Example(
        size=3, maybe=Rules(words=["a"]), many=[Rules(), Rules(threshold=0.25)], weights={"b": 1e-5}
    )
    assert build(Example, plain(example)) == example


def test_nested_data_is_flat_with_dotted_keys() -> None:
    nested = {"steps": 3, "model": {"width": 8, "head": {"count": 2}}, "none": {}, "list": [{}]}
    assert flatten(nested) == {"steps": 3, "model.width": 8, "model.head.count": 2, "list": [{}]}
    assert flatten({"a": 1, "b": {"c": 2}}, "train") == {"train.a": 1, "train.b.c": 2}
