"""The loader: the same global batch for any number of processes, one integer of state."""

from pathlib import Path

import numpy as np
import pytest

from infra.errors import GristmillError
from model.data import order
from model.data.loader import Shape, TrainLoader
from model.data.split import TokenSplit
from tests.model.artifacts import Tokens, write_tokens
from tests.model.data.streams import LENGTH, streams


def expected_sequences(tokens: Tokens) -> set[tuple[int, ...]]:
    found = set()
    for stream in streams(tokens.train):
        for start in range(0, len(stream) - LENGTH, LENGTH):
            found.add(tuple(stream[start : start + LENGTH + 1].tolist()))
    return found


def loader(
    tokens: Tokens, batch: int = 8, micro: int = 2, rank: int = 0, world: int = 1, seed: int = 5
) -> TrainLoader:
    return TrainLoader(
        TokenSplit(tokens.tokens, "train"), Shape(LENGTH, batch, micro, rank, world), seed
    )


def global_batch(tokens: Tokens, consumed: int, world: int, micro: int) -> np.ndarray:
    parts = [
        np.concatenate(
            [part.numpy() for part in loader(tokens, 8, micro, rank, world).micro_batches(consumed)]
        )
        for rank in range(world)
    ]
    return np.concatenate(parts)


def test_an_epoch_holds_every_sequence_exactly_once(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "WINDOW", 2)
    one = loader(tokens)
    rows = one.read(np.arange(one.order.sequences))
    assert len({tuple(row) for row in rows.tolist()}) == len(rows)
    assert {tuple(row) for row in rows.tolist()} == expected_sequences(tokens)


def test_memory_holds_no_more_than_a_window_of_row_groups(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "WINDOW", 2)
    one = loader(tokens)
    for position in range(2 * one.order.sequences):
        one.read(np.array([position]))
        assert len(one._window) <= 2


def test_dropped_and_used_tokens_add_up(tokens: Tokens) -> None:
    one = loader(tokens)
    used = sum(((len(s) - 1) // LENGTH) * LENGTH + 1 for s in streams(tokens.train))
    assert used + one.order.dropped_tokens == one.split.tokens


def test_the_next_epoch_has_another_order_of_the_same_sequences(tokens: Tokens) -> None:
    one = loader(tokens)
    first = one.read(np.arange(one.order.sequences)).tolist()
    second = one.read(np.arange(one.order.sequences, 2 * one.order.sequences)).tolist()
    assert first != second
    assert sorted(first) == sorted(second)


@pytest.mark.parametrize(("world", "micro"), [(1, 8), (2, 2), (4, 2), (8, 1)])
def test_the_global_batch_is_the_same_for_any_number_of_processes(
    tokens: Tokens, world: int, micro: int
) -> None:
    for consumed in (0, 8, 800):
        np.testing.assert_array_equal(
            global_batch(tokens, consumed, world, micro), global_batch(tokens, consumed, 1, 2)
        )


def test_a_new_loader_continues_where_the_count_says(tokens: Tokens) -> None:
    one = loader(tokens)
    straight = [
        [part.tolist() for part in one.micro_batches(consumed)] for consumed in range(0, 240, 8)
    ]
    assert [part.tolist() for part in loader(tokens).micro_batches(104)] == straight[13]


def test_a_batch_that_cannot_be_cut_evenly_is_refused() -> None:
    with pytest.raises(GristmillError, match="multiple of micro_batch_sequences"):
        Shape(LENGTH, 6, 2, 0, 2)


def test_a_split_too_small_for_one_sequence_is_refused(tokens: Tokens) -> None:
    with pytest.raises(GristmillError, match=r"lower model\.context_tokens"):
        TrainLoader(TokenSplit(tokens.tokens, "train"), Shape(100_000, 2, 1), 0)


def test_reading_does_not_depend_on_the_lake(tmp_path: Path) -> None:
    first, second = write_tokens(str(tmp_path / "a")), write_tokens(str(tmp_path / "b"))
    np.testing.assert_array_equal(
        loader(first).read(np.arange(50)), loader(second).read(np.arange(50))
    )
