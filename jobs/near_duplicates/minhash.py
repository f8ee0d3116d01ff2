"""Near-duplicate arithmetic: shingles, MinHash signatures, LSH band keys, exact Jaccard.

A text becomes the set of the n-grams of its words (shingles; what a word is: `jobs.text.words`). A
shingle is a stable 64-bit hash, a text a sorted array of distinct shingles (uint64). A text
shorter than one n-gram has one shingle, the hash of the whole, and no band keys: short boilerplate
("Page not found") would otherwise collide across sites, so it can only be an exact duplicate.

Signatures estimate the Jaccard similarity (Broder, On the resemblance and containment of
documents, 1997, section 4): equal shares of minima under `bands * rows` hash functions. Two texts
of similarity s share at least one band key with probability 1 - (1 - s^rows)^bands (Leskovec,
Rajaraman and Ullman, Mining of Massive Datasets, 3.4.2): 24 bands of 6 rows find a pair at 0.8
with probability 0.9993, at 0.5 with 0.31, at 0.3 with 0.017; what they find is then compared
exactly (`jaccard`). Pure numpy and numba, no Spark.
"""

import hashlib

import numpy as np
from numba import njit
from numpy.typing import NDArray

from jobs.text.normal import normalised
from jobs.text.words import FNV_PRIME, Hashes, mix

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
LARGEST = np.uint64(0xFFFFFFFFFFFFFFFF)


def shingles_of(words: Hashes, size: int) -> Hashes:
    """(shingles,) sorted distinct hashes of the n-grams of `size` words, given the words' hashes;
    one for a shorter text, none for a text without words."""
    return np.unique(_ngram_hashes(words, size)) if len(words) else np.empty(0, np.uint64)


def hash_functions(count: int, seed: int) -> tuple[Hashes, Hashes]:
    """(count,) odd factors and (count,) offsets of functions x -> factor * x + offset mod 2^64."""
    with np.errstate(over="ignore"):
        state = np.uint64(seed) + np.arange(1, 2 * count + 1, dtype=np.uint64) * GOLDEN
    drawn = np.array([mix(value) for value in state], np.uint64)
    return drawn[:count] | np.uint64(1), drawn[count:]


def signature_of(shingles: Hashes, functions: tuple[Hashes, Hashes]) -> Hashes:
    """(functions,) the least value of each function over the shingles."""
    return _minima(shingles, *functions)


def band_keys(signature: Hashes, bands: int) -> NDArray[np.int64]:
    """(bands,) one key for each band of `len(signature) / bands` minima, as signed integers (Spark
    has no others)."""
    return _band_keys(signature, bands).view(np.int64)


def jaccard(left: Hashes, right: Hashes) -> float:
    """|intersection| / |union| of two sorted arrays of distinct shingles; 0 when both are empty."""
    common = _common(left, right)
    union = len(left) + len(right) - common
    return common / union if union else 0.0


def content_key(text: str) -> bytes:
    """16 bytes that are equal for texts equal up to compatibility forms, case and white space
    (`jobs.text.normal`)."""
    normal = normalised(text).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(normal, digest_size=16).digest()


@njit(cache=True)
def _ngram_hashes(words: Hashes, size: int) -> Hashes:
    grams = np.empty(max(1, len(words) - size + 1), np.uint64)
    for start in range(len(grams)):
        state = GOLDEN
        for word in words[start : start + size]:
            state = mix(state * FNV_PRIME + word)
        grams[start] = state
    return grams


@njit(cache=True)
def _minima(shingles: Hashes, factors: Hashes, offsets: Hashes) -> Hashes:
    minima = np.full(len(factors), LARGEST, np.uint64)
    for i in range(len(factors)):
        factor, offset, least = factors[i], offsets[i], LARGEST
        for shingle in shingles:
            least = min(least, factor * shingle + offset)
        minima[i] = least
    return minima


@njit(cache=True)
def _band_keys(signature: Hashes, bands: int) -> Hashes:
    rows = len(signature) // bands
    keys = np.empty(bands, np.uint64)
    for band in range(bands):
        state = mix(np.uint64(band) + GOLDEN)
        for value in signature[band * rows : (band + 1) * rows]:
            state = mix(state * FNV_PRIME + value)
        keys[band] = state
    return keys


@njit(cache=True)
def _common(left: Hashes, right: Hashes) -> int:
    i, j, common = 0, 0, 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            common += 1
            i += 1
            j += 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    return common
