"""Numbers as people read them, and the loss curve as one picture for every page."""

import math
import re
from xml.etree import ElementTree

import pytest

from flows.card.figures import (
    MOST_POINTS,
    data_uri,
    duration,
    finite,
    loss_curve,
    scaled,
    share,
    short,
    thinned,
)

CURVE = [(1, 8.3, None), (50, 5.0, 5.1), (100, 4.2, 4.4)]


def drawn(svg: bytes) -> list[int]:
    """Points of each line in the picture that is not the grid's or the legend's."""
    space = "{http://www.w3.org/2000/svg}"
    axes = next(g for g in ElementTree.fromstring(svg).iter(f"{space}g") if g.get("id") == "axes_1")
    groups = [g for g in axes if (g.get("id") or "").startswith("line2d")]
    return [len(re.findall("[ML]", path.get("d") or "")) for g in groups for path in g[:1]]


def test_numbers_have_three_digits_and_a_unit() -> None:
    numbers = (0, 5, 0.5, 999, 999.6, 1234567, 2.5e9)
    shown = ["0", "5", "0.50", "999", "1.00 k", "1.23 M", "2.50 B"]
    assert [scaled(number) for number in numbers] == shown


def test_times_are_in_the_two_units_that_matter() -> None:
    seconds = (4.21, 59.99, 83.2, 3599.7, 3725)
    shown = ["4.2 s", "1 min 00 s", "1 min 23 s", "1 h 00 min", "1 h 02 min"]
    assert [duration(each) for each in seconds] == shown


def test_a_small_share_never_reads_as_nothing() -> None:
    shares = ((1, 3), (1, 10_000), (0, 3), (1, 0))
    assert [share(*each) for each in shares] == ["33.3 %", "< 0.1 %", "0.0 %", "0.0 %"]


def test_a_short_digest_is_the_name_of_the_folder() -> None:
    assert short("0123456789abcdef" * 4) == "0123456789ab"


def test_the_same_points_give_the_same_picture() -> None:
    assert loss_curve(CURVE) == loss_curve(CURVE)
    assert loss_curve(CURVE) != loss_curve([*CURVE, (150, 4.0, 4.3)])


def test_the_picture_has_no_date_and_needs_nothing_from_outside() -> None:
    svg = loss_curve(CURVE).decode()
    assert "<metadata>" not in svg and "<text" not in svg
    references = re.findall(r'(?:href="|url\()([^")]*)', svg)
    assert references and all(each.startswith("#") for each in references)


def test_the_picture_draws_training_and_validation() -> None:
    assert drawn(loss_curve(CURVE)) == [3, 2]


def test_losses_that_are_not_finite_are_left_out() -> None:
    curve = [*CURVE, (150, math.nan, math.inf), (200, 3.9, math.nan), (250, -math.inf, None)]
    assert drawn(loss_curve(curve)) == [4, 2]
    assert finite([(1, math.nan), (2, None), (3, 1.5)]) == [(3, 1.5)]


@pytest.mark.parametrize("curve", [[], [(1, 8.3, 8.4)], [(1, math.nan, None), (2, 3.0, None)]])
def test_fewer_than_two_steps_are_no_picture(
    curve: list[tuple[int, float, float | None]],
) -> None:
    assert loss_curve(curve) == b""


def test_a_long_line_is_drawn_through_means_of_equally_long_runs() -> None:
    means = thinned([(step, 2.0 * step) for step in range(1, 10 * MOST_POINTS + 1)])
    assert len(means) == MOST_POINTS
    assert means[:2] == [(5.5, 11.0), (15.5, 31.0)]
    assert thinned([(1, 2.0), (2, 3.0)]) == [(1, 2.0), (2, 3.0)]
    assert thinned([]) == []
    assert len(thinned([(step, 0.0) for step in range(MOST_POINTS + 1)])) <= MOST_POINTS


def test_a_picture_is_the_address_of_an_image() -> None:
    assert data_uri(b"<svg/>") == "data:image/svg+xml;base64,PHN2Zy8+"
