"""A keyed pseudo-random permutation of range(n) that is computed, not stored: O(1) memory.

In: positions, int64 of any shape, each in [0, n). Out: their images, int64 of the same shape; or
back. Promises: a bijection for every n and key, the same one on every machine. A shuffled order of
a data set is then one integer, the number of items consumed.

Method: a balanced Feistel network over the smallest even number of bits that holds n (Luby and
Rackoff, 1988, section 3), with cycle walking for images outside [0, n) (Black and Rogaway, "Ciphers
with arbitrary finite domains", 2002, section 3). The round function is the finaliser of splitmix64
(Steele et al., 2014): good mixing, no secrecy. The domain is below 4 n, so a position walks fewer
than 4 steps on average.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

ROUNDS = 6
Words = npt.NDArray[np.uint64]


class Permutation:
    """The permutation of range(n) that `key` (any words and numbers) names."""

    def __init__(self, n: int, *key: int | str) -> None:
        if n < 0:
            raise ValueError(f"a permutation of {n} items does not exist")
        self.n = n
        # Half the bits of n - 1, rounded up: a Feistel network splits its block into equal halves.
        self._half_bits = np.uint64(max(1, -(-(n - 1).bit_length() // 2)))
        self._mask = np.uint64((1 << int(self._half_bits)) - 1)
        digest = hashlib.blake2b(repr(key).encode(), digest_size=8 * ROUNDS).digest()
        self._round_keys = np.frombuffer(digest, dtype="<u8")

    def __call__(self, positions: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """The images of `positions`. Raises IndexError for one outside [0, n)."""
        return self._walk(positions, self._encrypt)

    def inverse(self, images: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """The positions of `images`. Raises IndexError for one outside [0, n)."""
        return self._walk(images, self._decrypt)

    def _walk(self, items: npt.ArrayLike, step: Callable[[Words], Words]) -> npt.NDArray[np.int64]:
        """Step along the network's cycles from `items` until each is back inside [0, n)."""
        start = np.asarray(items, dtype=np.int64)
        if start.size and (start.min() < 0 or start.max() >= self.n):
            raise IndexError(f"position outside [0, {self.n})")
        flat = step(start.ravel().astype(np.uint64))
        while (outside := np.flatnonzero(flat >= np.uint64(self.n))).size:
            flat[outside] = step(flat[outside])
        return flat.astype(np.int64).reshape(start.shape)

    def _encrypt(self, block: Words) -> Words:
        left, right = block >> self._half_bits, block & self._mask
        # A round only adds (xor) a function of the right half to the left one, then swaps them: it
        # can be undone whatever the function is. That is what makes this a bijection.
        for round_key in self._round_keys:
            left, right = right, left ^ (_mix(right ^ round_key) & self._mask)
        return (left << self._half_bits) | right

    def _decrypt(self, block: Words) -> Words:
        left, right = block >> self._half_bits, block & self._mask
        for round_key in self._round_keys[::-1]:
            left, right = right ^ (_mix(left ^ round_key) & self._mask), left
        return (left << self._half_bits) | right


def _mix(word: Words) -> Words:
    """The finaliser of splitmix64; the shifts 30, 27, 31 and both factors are its own constants.
    Products wrap around at 64 bits."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
