"""What a word is: one definition, for the quality signals, for near-duplicates, for every count.

In: any text, lone surrogates included. Out: its words in order, as strings, as 64-bit hashes, or
their number; the three always agree.

A word is a maximal run of letters, digits and underscores (`\\w`) with the combining marks (Unicode
Mn and Mc) among and after them. `\\w` alone ends a word at every vowel sign of the scripts of
South Asia. Zero-width joiners and non-joiners belong to a word when more of it follows. No word
starts with a mark: a variation selector behind a picture is none.

Scripts without spaces between words (Han, kana, Thai, Lao, Khmer, Myanmar) have one word a
character, again with its marks: in Thai `กี่` is one word. Hangul, though spaced, has one word a
syllable, written as one character or as its jamo: published filters and scorers count so.

The character classes are those of Python's `unicodedata` (3.11: Unicode 14).
"""

import unicodedata
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

UNSPACED_LANGUAGES = ("zh", "ja", "ko", "th", "lo", "km", "my")
"""ISO 639-1 codes of the languages whose every character is a word here: rules about the length or
the repetition of words say nothing about them."""

NO_WORD, WORD, ONE_CHARACTER_WORD, MARK, JOINER = range(5)
UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x115F),  # hangul jamo, initial consonants
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x31FF),  # iteration marks, hiragana, katakana, bopomofo, compatibility jamo
    (0x3400, 0x4DBF),  # Han extension A
    (0x4E00, 0x9FFF),  # Han
    (0xA960, 0xA97F),  # hangul jamo extended A, initial consonants
    (0xA9E0, 0xA9FF),  # Myanmar extended B
    (0xAA60, 0xAA7F),  # Myanmar extended A
    (0xAC00, 0xD7AF),  # hangul syllables
    (0xF900, 0xFAFF),  # Han compatibility
    (0xFF66, 0xFFDC),  # half-width kana and hangul
    (0x1AFF0, 0x1B16F),  # kana supplements
    (0x20000, 0x3FFFF),  # Han extensions B and later
)
JAMO_MARKS = ((0x1160, 0x11FF), (0xD7B0, 0xD7FF))  # vowels and final consonants of a syllable
JOINERS = (0x200C, 0x200D)
CODE_POINTS = 0x110000

FNV_OFFSET, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S27, S30, S31 = np.uint64(27), np.uint64(30), np.uint64(31)


@cache
def character_kinds() -> NDArray[np.uint8]:
    """(0x110000,) NO_WORD, WORD, ONE_CHARACTER_WORD, MARK or JOINER for each code point."""
    kinds = np.fromiter((chr(code).isalnum() for code in range(CODE_POINTS)), np.uint8, CODE_POINTS)
    kinds[ord("_")] = WORD
    for first, last in UNSPACED:
        kinds[first : last + 1] *= ONE_CHARACTER_WORD
    categories = (unicodedata.category(chr(code)) for code in range(CODE_POINTS))
    marks = np.fromiter((name in ("Mn", "Mc") for name in categories), np.bool_, CODE_POINTS)
    kinds[marks] = MARK
    for first, last in JAMO_MARKS:
        kinds[first : last + 1][kinds[first : last + 1] != NO_WORD] = MARK
    kinds[list(JOINERS)] = JOINER
    return kinds


def words(text: str) -> list[str]:
    """The words of a text in order."""
    starts, ends = _spans(_codes(text), character_kinds())
    return [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def word_hashes(text: str) -> Hashes:
    """(words,) a 64-bit hash of each word of the lower-cased text, in order: FNV-1a over its code
    points, then `mix`."""
    codes = _codes(text.lower())
    return _hashes(codes, *_spans(codes, character_kinds()))


def count_words(text: str) -> int:
    """`len(words(text))`, without making the words."""
    return len(_spans(_codes(text), character_kinds())[0])


def _codes(text: str) -> NDArray[np.uint32]:
    """(characters,) the code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


# Kernels of other files that call `mix` are cached with it compiled in: after a change here their
# `__pycache__` must go.
@njit(cache=True)
def mix(value: np.uint64) -> np.uint64:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014): every bit of the result depends on
    every bit of the value."""
    value = (value ^ (value >> S30)) * MIX_1
    value = (value ^ (value >> S27)) * MIX_2
    return value ^ (value >> S31)


@njit(cache=True)
def _spans(codes: NDArray[np.uint32], kinds: NDArray[np.uint8]) -> tuple[Places, Places]:
    """(words,) where each word starts, and (words,) where it ends, in code points."""
    starts, ends = np.empty(len(codes), np.int64), np.empty(len(codes), np.int64)
    count, open_word = 0, NO_WORD
    for place in range(len(codes)):
        kind = kinds[codes[place]]
        if kind == NO_WORD:
            open_word = NO_WORD
        elif kind in (WORD, ONE_CHARACTER_WORD):
            if kind != WORD or open_word != WORD:
                starts[count] = place
                count += 1
                open_word = kind
            ends[count - 1] = place + 1
        elif kind == MARK and open_word != NO_WORD:
            ends[count - 1] = place + 1
    return starts[:count], ends[:count]


@njit(cache=True)
def _hashes(codes: NDArray[np.uint32], starts: Places, ends: Places) -> Hashes:
    hashes = np.empty(len(starts), np.uint64)
    for word in range(len(starts)):
        state = FNV_OFFSET
        for code in codes[starts[word] : ends[word]]:
            state = (state ^ np.uint64(code)) * FNV_PRIME
        hashes[word] = mix(state)
    return hashes
