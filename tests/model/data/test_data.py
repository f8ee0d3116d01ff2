"""The loader's contract: each sequence once an epoch, the same global batch for any number of processes, one integer of state."""

from pathlib import Path

import numpy as np
import pytest

from infra.errors import GristmillError
from model.data import tokens as data
from model.data.tokens import Shape, TokenSplit, TrainLoader
from model.data.validation import ValidationWindows
from tests.model.conftest import Tokens, write_tokens

LENGTH = 32


def streams(groups: list[list[np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate(group).astype(np.int64) for group in groups]


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
    monkeypatch.setattr(data, "WINDOW", 2)
    one = loader(tokens)
    rows = one.read(np.arange(one.sequences))
    assert len({tuple(row) for row in rows.tolist()}) == len(rows)
    assert {tuple(row) for row in rows.tolist()} == expected_sequences(tokens)


def test_memory_holds_no_more_than_a_window_of_row_groups(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "WINDOW", 2)
    one = loader(tokens)
    for position in range(2 * one.sequences):
        one.read(np.array([position]))
        assert len(one._window) <= 2


def test_dropped_and_used_tokens_add_up(tokens: Tokens) -> None:
    one = loader(tokens)
    used = sum(((len(s) - 1) // LENGTH) * LENGTH + 1 for s in streams(tokens.train))
    assert used + one.dropped_tokens == one.split.tokens


def test_the_next_epoch_has_another_order_of_the_same_sequences(tokens: Tokens) -> None:
    one = loader(tokens)
    first = one.read(np.arange(one.sequences)).tolist()
    second = one.read(np.arange(one.sequences, 2 * one.sequences)).tolist()
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


@pytest.mark.parametrize(("world", "batch"), [(1, 4), (2, 3), (3, 16)])
def test_validation_covers_every_token_but_the_first_once(
    tokens: Tokens, world: int, batch: int
) -> None:
    stream = np.concatenate(streams(tokens.val))
    seen, contexts, counts = [], [], []
    for rank in range(world):
        windows = ValidationWindows(TokenSplit(tokens.tokens, "val"), LENGTH, batch, rank, world)
        batches = list(windows)
        counts.append(len(batches))
        for window in batches:
            seen += window.tokens[:, 1:][window.real].tolist()
            contexts += window.tokens[:, :-1][window.real].tolist()
    assert seen == stream[1:].tolist()
    assert contexts == stream[:-1].tolist()
    assert len(set(counts)) == 1


def test_a_capped_validation_is_the_beginning(tokens: Tokens) -> None:
    stream = np.concatenate(streams(tokens.val))
    windows = ValidationWindows(TokenSplit(tokens.tokens, "val"), LENGTH, 4, cap_tokens=100)
    assert [t for w in windows for t in w.tokens[:, 1:][w.real].tolist()] == stream[1:101].tolist()


def test_each_validation_token_knows_its_source(tokens: Tokens) -> None:
    windows = ValidationWindows(TokenSplit(tokens.tokens, "val"), LENGTH, 4, with_sources=True)
    owners = np.concatenate(
        [np.full(len(d), index % 2) for group in tokens.val for index, d in enumerate(group)]
    )
    names = np.array(["web", "books"])[owners]
    found = [windows.sources[s] for w in windows for s in w.sources[w.real].tolist()]
    assert found == names[1:].tolist()
    assert sum(windows.source_bytes.values()) == windows.split.bytes


def test_a_file_that_disagrees_with_the_manifest_is_refused(tokens: Tokens, tmp_path: Path) -> None:
    split = TokenSplit(tokens.tokens, "train")
    split.row_groups[0] = split.row_groups[0]._replace(tokens=7)
    with pytest.raises(GristmillError, match="tokenize again"):
        split.read(0)


def test_reading_does_not_depend_on_the_python_process(tmp_path: Path) -> None:
    first, second = write_tokens(str(tmp_path / "a")), write_tokens(str(tmp_path / "b"))
    np.testing.assert_array_equal(
        loader(first).read(np.arange(50)), loader(second).read(np.arange(50))
    )
