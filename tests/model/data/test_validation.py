"""Validation windows: every token but the first is a target once, on any number of ranks."""

import numpy as np
import pytest

from model.data.split import TokenSplit
from model.data.validation import ValidationWindows
from tests.model.artifacts import Tokens
from tests.model.data.streams import LENGTH, streams


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
