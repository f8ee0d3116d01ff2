"""The keyed permutation: a bijection for any size and key, the same everywhere, well mixed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data.permutation import Permutation


@given(n=st.integers(0, 5000), key=st.integers() | st.text())
@settings(max_examples=200, deadline=None)
def test_every_size_and_key_give_a_bijection(n: int, key: int | str) -> None:
    assert sorted(Permutation(n, key)(np.arange(n)).tolist()) == list(range(n))


@given(n=st.integers(1, 2**62), key=st.integers(), data=st.data())
@settings(max_examples=200, deadline=None)
def test_images_of_huge_ranges_stay_inside_and_differ(
    n: int, key: int, data: st.DataObject
) -> None:
    positions = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=50))
    images = Permutation(n, key)(positions).tolist()
    assert all(0 <= image < n for image in images)
    assert len(set(images)) == len(positions)


@given(n=st.integers(1, 2**62), key=st.integers(), data=st.data())
@settings(max_examples=200, deadline=None)
def test_the_inverse_leads_back(n: int, key: int, data: st.DataObject) -> None:
    positions = data.draw(st.lists(st.integers(0, n - 1), max_size=50))
    order = Permutation(n, key)
    assert order.inverse(order(positions)).tolist() == positions
    assert order(order.inverse(positions)).tolist() == positions


def test_one_position_gives_the_same_image_as_many() -> None:
    order = Permutation(1000, "a")
    assert int(order(417)) == order(np.arange(1000))[417]


def test_the_order_is_pinned_for_ever() -> None:
    assert Permutation(10, 7, "epoch", 0)(np.arange(10)).tolist() == PINNED


def test_another_key_gives_another_order() -> None:
    first, second = Permutation(1000, 1)(np.arange(1000)), Permutation(1000, 2)(np.arange(1000))
    assert (first == second).sum() < 20


def test_neighbours_are_scattered() -> None:
    n = 100_000
    images = Permutation(n, "scatter")(np.arange(n)).astype(float)
    assert abs(np.corrcoef(images[:-1], images[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(np.arange(n), images)[0, 1]) < 0.02
    assert np.histogram(images[:1000], bins=10, range=(0, n))[0].min() > 60


def test_a_position_outside_the_range_is_refused() -> None:
    with pytest.raises(IndexError):
        Permutation(10, 0)([10])
    with pytest.raises(IndexError):
        Permutation(10, 0).inverse([-1])


PINNED = [2, 5, 6, 9, 7, 3, 1, 4, 0, 8]
