"""The endless order: each sequence once an epoch, another order in the next, and what was seen."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import GristmillError
from model.data import order as module
from model.data.order import Order

sizes = st.lists(st.integers(0, 60), min_size=1, max_size=9).filter(lambda n: max(n) > 8)


def drawn(order: Order, start: int, end: int) -> list[tuple[int, int]]:
    """(row group, sequence) at the positions [start, end)."""
    _, _, groups, sequences = order.locate(np.arange(start, end))
    return list(zip(groups, sequences, strict=True))


@settings(deadline=None)
@given(tokens=sizes, length=st.integers(1, 8), seed=st.integers(0, 99), window=st.integers(1, 10))
def test_every_epoch_holds_every_sequence_once(
    tokens: list[int], length: int, seed: int, window: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WINDOW", window)
        order = Order(tokens, length, seed)
        every = [(g, s) for g, n in enumerate(tokens) for s in range(max(0, (n - 1) // length))]
        for epoch in range(2):
            first = epoch * order.sequences
            assert sorted(drawn(order, first, first + order.sequences)) == every


@settings(deadline=None)
@given(
    tokens=sizes,
    length=st.integers(1, 8),
    seed=st.integers(0, 99),
    window=st.integers(1, 10),
    consumed=st.integers(0, 400),
    data=st.data(),
)
def test_what_was_seen_is_what_counting_every_draw_says(
    tokens: list[int], length: int, seed: int, window: int, consumed: int, data: st.DataObject
) -> None:
    group = data.draw(st.integers(0, len(tokens) - 1))
    first = data.draw(st.integers(0, tokens[group]))
    last = data.draw(st.integers(first, tokens[group]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WINDOW", window)
        order = Order(tokens, length, seed)
        counts = Counter(drawn(order, 0, consumed))
        seen = [
            times
            for (where, s), times in counts.items()
            if where == group
            and set(range(first, last)) & set(range(s * length, s * length + length + 1))
        ]
        assert order.consumed(group, first, last, consumed) == max(seen, default=0)


def test_tokens_that_an_epoch_drops_are_never_seen() -> None:
    order = Order([11, 3], 4, 1)
    assert order.dropped_tokens == 2 + 3
    assert order.consumed(0, 9, 11, 1000) == order.consumed(1, 0, 3, 1000) == 0
    assert order.consumed(0, 0, 11, 7 * order.sequences) == 7


def test_a_training_that_has_not_begun_has_seen_nothing() -> None:
    assert Order([100], 4, 1).consumed(0, 0, 100, 0) == 0


def test_the_next_epoch_has_another_order() -> None:
    order = Order([400, 300], 4, 1)
    n = order.sequences
    assert drawn(order, 0, n) != drawn(order, n, 2 * n)


def test_a_window_ends_before_the_next_begins() -> None:
    order = Order([90] * 40, 4, 1)
    epochs, windows, groups, _ = order.locate(np.arange(order.sequences))
    assert set(epochs) == {0}
    assert windows == sorted(windows)
    members = {w: {g for g, v in zip(groups, windows, strict=True) if v == w} for w in range(3)}
    assert [len(members[w]) for w in range(3)] == [16, 16, 8]


def test_positions_can_be_asked_for_in_any_order() -> None:
    order = Order([90, 70, 50], 4, 1)
    straight = drawn(order, 0, 150)
    for position in (149, 3, 77):
        assert drawn(Order([90, 70, 50], 4, 1), position, position + 1) == [straight[position]]


def test_the_order_is_pinned_for_ever() -> None:
    assert drawn(Order([9, 14, 5], 4, 7), 0, 9) == PINNED


def test_a_split_too_small_for_one_sequence_is_refused() -> None:
    with pytest.raises(GristmillError, match=r"lower model\.context_tokens"):
        Order([32, 32], 32, 0)


PINNED = [(0, 1), (1, 2), (1, 0), (0, 0), (2, 0), (1, 1), (1, 2), (0, 1), (1, 1)]
