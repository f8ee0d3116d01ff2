"""Where rows go: a seeded order that any number of workers reproduces. Pure numpy.

The order comes from a document's id (16 bytes, themselves a hash) with a seed and a salt, never
from row positions, so it is the same on any cluster.
"""

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

ORDER_BITS = 63
ID_BYTES = 16
Keys = NDArray[np.int64]


def keyed_hash(doc_ids: pa.Array, seed: int, salt: str) -> Keys:
    """(rows,) a uniform integer in [0, 2^63) for each document; another `salt` gives an independent
    one.

    The two halves of the id are mixed with a key by SplitMix64's finaliser (Steele, Lea and Flood,
    Fast splittable pseudorandom number generators, 2014, figure 13).
    """
    digest = hashlib.blake2b(f"{salt} {seed}".encode(), digest_size=ID_BYTES).digest()
    key = np.frombuffer(digest, np.uint64)
    halves = np.frombuffer(b"".join(doc_ids.to_pylist()), np.uint64).reshape(-1, 2)
    with np.errstate(over="ignore"):
        mixed = _mix(halves[:, 0] ^ key[0])
        mixed = _mix(mixed + (halves[:, 1] ^ key[1]))
    return (mixed >> np.uint64(1)).view(np.int64)


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def below(fraction: float) -> int:
    """The bound under which `fraction` of the values of `keyed_hash` lie."""
    return min(int(fraction * (1 << ORDER_BITS)), (1 << ORDER_BITS) - 1)


def slot(order: Keys, slots: int) -> NDArray[np.int32]:
    """Which of `slots` equal, consecutive ranges (fewer than 2^31) each value of `keyed_hash` falls
    into."""
    high = order >> np.int64(32)  # 31 bits: the product fits 63
    return ((high * np.int64(slots)) >> np.int64(31)).astype(np.int32)
