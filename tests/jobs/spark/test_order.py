"""The seeded order: even, independent of rows' places, cut into equal ranges."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.spark.order import ORDER_BITS, below, keyed_hash, slot

IDS = pa.array([int(n).to_bytes(16, "big") for n in range(20_000)], pa.binary())
ids = st.lists(st.binary(min_size=16, max_size=16), max_size=30)


@given(ids, st.integers(0, 2**32), st.text(max_size=5))
def test_a_key_follows_from_the_id_alone(drawn: list[bytes], seed: int, salt: str) -> None:
    keys = keyed_hash(pa.array(drawn, pa.binary()), seed, salt)
    assert keys.dtype == np.int64
    assert (keys >= 0).all()
    alone = [keyed_hash(pa.array([each], pa.binary()), seed, salt)[0] for each in drawn]
    assert keys.tolist() == [int(key) for key in alone]


def test_the_key_of_an_id_is_fixed_for_ever() -> None:
    assert keyed_hash(IDS[:2], 0, "order").tolist() == [6606102081448432443, 443304309679730264]


def test_a_slice_of_a_column_has_the_keys_of_its_rows() -> None:
    assert (keyed_hash(IDS[100:200], 1, "order") == keyed_hash(IDS, 1, "order")[100:200]).all()


@pytest.mark.parametrize(("seed", "salt"), [(1, "order"), (0, "split")])
def test_another_seed_or_salt_is_another_order(seed: int, salt: str) -> None:
    one, other = keyed_hash(IDS, 0, "order"), keyed_hash(IDS, seed, salt)
    assert abs(np.corrcoef(one.astype(float), other.astype(float))[0, 1]) < 0.03


def test_ids_that_hardly_differ_lie_evenly() -> None:
    counts = np.bincount(slot(keyed_hash(IDS, 0, "order"), 20), minlength=20)
    assert len(counts) == 20
    assert 850 < counts.min() <= counts.max() < 1150


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_larger_fraction_has_a_larger_bound(one: float, other: float) -> None:
    assert 0 <= below(min(one, other)) <= below(max(one, other)) < 2**ORDER_BITS


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.3, 1.0])
def test_so_large_a_fraction_of_the_keys_lies_below_the_bound(fraction: float) -> None:
    share = (keyed_hash(IDS, 3, "split") < below(fraction)).mean()
    assert share == pytest.approx(fraction, abs=0.01)


@given(st.lists(st.integers(0, 2**ORDER_BITS - 1), max_size=40), st.integers(1, 2**31 - 1))
def test_slots_are_consecutive_ranges_of_the_order(drawn: list[int], slots: int) -> None:
    keys = np.sort(np.array(drawn, np.int64))
    found = slot(keys, slots)
    assert (np.diff(found) >= 0).all()
    assert ((found >= 0) & (found < slots)).all()


def test_the_ends_of_the_order_are_the_first_and_the_last_slot() -> None:
    ends = np.array([0, 2**ORDER_BITS - 1], np.int64)
    assert slot(ends, 7).tolist() == [0, 6]
