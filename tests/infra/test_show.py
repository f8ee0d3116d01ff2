"""Numbers as people read them."""

import pytest

from infra.show import duration


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
