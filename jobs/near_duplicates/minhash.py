"""Near-duplicate arithmetic: shingles, MinHash signatures, LSH band keys, exact Jaccard. Pure numpy and numba, no Spark.

A text becomes the set of its word n-grams (shingles): words are maximal runs of `\\w` of the lower-cased text, except that every Han,
kana, hangul or Thai character is a word of its own (those scripts put no spaces between words). A shingle is a stable 64-bit hash, a text a
sorted array of distinct shingles (uint64). A text shorter than one n-gram has one shingle, the hash of the whole, and no band keys: short
boilerplate ("Page not found") would otherwise collide across sites, so it can only be an exact duplicate.

Signatures estimate the Jaccard similarity (Broder, On the resemblance and containment of documents, 1997, section 4): equal shares of
minima under `bands * rows` hash functions. Two texts of similarity s share at least one band key with probability
1 - (1 - s^rows)^bands (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4.2): 24 bands of 6 rows find a pair at 0.8 with
probability 0.9993, at 0.5 with 0.31, at 0.3 with 0.017; what they find is then compared exactly (`jaccard`).
"""

import hashlib
import unicodedata
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

NO_WORD, WORD, ONE_CHARACTER_WORD = 0, 1, 2
UNSPACED = (
    (0x0E00, 0x0E7F),  # Thai
    (0x1100, 0x11FF),  # hangul jamo
    (0x3040, 0x30FF),  # hiragana, katakana
    (0x3130, 0x318F),  # hangul compatibility jamo
    (0x31F0, 0x31FF),  # katakana extensions
    (0x3400, 0x4DBF),  # Han extension A
    (0x4E00, 0x9FFF),  # Han
    (0xAC00, 0xD7AF),  # hangul
    (0xF900, 0xFAFF),  # Han compatibility
    (0xFF66, 0xFFDC),  # half-width kana and hangul
    (0x20000, 0x3FFFF),  # Han extensions B and later
)
CODE_POINTS = 0x110000
FNV_OFFSET, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S27, S30, S31 = np.uint64(27), np.uint64(30), np.uint64(31)
LARGEST = np.uint64(0xFFFFFFFFFFFFFFFF)


@cache
def character_kinds() -> NDArray[np.uint8]:
    """(0x110000,) for each code point: no part of a word, part of a word (`\\w`), or a word of its own."""
    kinds = np.fromiter((chr(code).isalnum() for code in range(CODE_POINTS)), np.uint8, CODE_POINTS)
    kinds[ord("_")] = WORD
    for first, last in UNSPACED:
        kinds[first : last + 1] *= ONE_CHARACTER_WORD
    return kinds


@njit(cache=True)
def _mix(value: np.uint64) -> np.uint64:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014): every bit of the result depends on every bit of the value."""
    value = (value ^ (value >> S30)) * MIX_1
    value = (value ^ (value >> S27)) * MIX_2
    return value ^ (value >> S31)


@njit(cache=True)
def _word_hashes(codes: NDArray[np.uint32], kinds: NDArray[np.uint8]) -> Hashes:
    words = np.empty(len(codes), np.uint64)
    count, inside, state = 0, False, FNV_OFFSET
    for code in codes:
        kind = kinds[code]
        if inside and kind != WORD:
            words[count] = _mix(state)
            count += 1
            inside = False
        if kind == WORD:
            state = ((state if inside else FNV_OFFSET) ^ np.uint64(code)) * FNV_PRIME
            inside = True
        elif kind == ONE_CHARACTER_WORD:
            words[count] = _mix((FNV_OFFSET ^ np.uint64(code)) * FNV_PRIME)
            count += 1
    if inside:
        words[count] = _mix(state)
        count += 1
    return words[:count]


@njit(cache=True)
def _ngram_hashes(words: Hashes, size: int) -> Hashes:
    grams = np.empty(max(1, len(words) - size + 1), np.uint64)
    for start in range(len(grams)):
        state = GOLDEN
        for word in words[start : start + size]:
            state = _mix(state * FNV_PRIME + word)
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
        state = _mix(np.uint64(band) + GOLDEN)
        for value in signature[band * rows : (band + 1) * rows]:
            state = _mix(state * FNV_PRIME + value)
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


def word_hashes(text: str) -> Hashes:
    """(words,) a 64-bit hash of each word, in the order of the text."""
    codes = np.frombuffer(text.lower().encode("utf-32-le", "surrogatepass"), np.uint32)
    return _word_hashes(codes, character_kinds())


def shingles_of(words: Hashes, size: int) -> Hashes:
    """(shingles,) sorted distinct hashes of the n-grams of `size` words; one for a shorter text; none for a text without words."""
    return np.unique(_ngram_hashes(words, size)) if len(words) else np.empty(0, np.uint64)


def hash_functions(count: int, seed: int) -> tuple[Hashes, Hashes]:
    """(count,) odd factors and (count,) offsets of the functions x -> factor * x + offset mod 2^64."""
    with np.errstate(over="ignore"):
        state = np.uint64(seed) + np.arange(1, 2 * count + 1, dtype=np.uint64) * GOLDEN
    drawn = np.array([_mix(value) for value in state], np.uint64)
    return drawn[:count] | np.uint64(1), drawn[count:]


def signature_of(shingles: Hashes, functions: tuple[Hashes, Hashes]) -> Hashes:
    """(functions,) the least value of each function over the shingles."""
    return _minima(shingles, *functions)


def band_keys(signature: Hashes, bands: int) -> NDArray[np.int64]:
    """(bands,) one key for each band of `len(signature) / bands` minima, as signed integers (Spark has no others)."""
    return _band_keys(signature, bands).view(np.int64)


def jaccard(left: Hashes, right: Hashes) -> float:
    """|intersection| / |union| of two sorted arrays of distinct shingles; 0 when both are empty."""
    common = _common(left, right)
    union = len(left) + len(right) - common
    return common / union if union else 0.0


def content_key(text: str) -> bytes:
    """16 bytes that are equal for texts equal up to compatibility forms, case and white space (NFKC, casefold, runs of space)."""
    normal = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=16).digest()
