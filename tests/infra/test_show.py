"""Numbers and text as people read them: no text steers the terminal that shows it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.show import STEERING, duration, json_line, printable


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (4.21, "4.2 s"),
        (59.94, "59.9 s"),
        (59.99, "1 min 00 s"),
        (83.2, "1 min 23 s"),
        (3599.4, "59 min 59 s"),
        (3599.7, "1 h 00 min"),
        (3725, "1 h 02 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_a_duration_has_two_units_and_never_sixty_of_one(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@given(st.text())
def test_what_is_printable_steers_nothing_and_says_it_once(text: str) -> None:
    assert STEERING.search(printable(text)) is None
    assert printable(printable(text)) == printable(text)
    assert printable(text, lines=True).split("\n") == [printable(line) for line in text.split("\n")]


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner, max_size=3)))
def test_json_is_one_line_that_steers_nothing_and_gives_the_value_back(value: object) -> None:
    assert STEERING.search(json_line(value)) is None
    assert json.loads(json_line(value)) == value


@pytest.mark.parametrize("text", ["Größe 文\t→ עברית", "\\x1b", "[bold]", "naïve – café"])
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_what_steers_is_shown_by_its_number() -> None:
    assert printable("a\x1b[2J\u202eb\n\x9b\ud800") == r"a\x1b[2J\u202eb\x0a\x9b\ud800"
