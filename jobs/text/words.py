"""What a word is: one definition, for the quality signals, for near-duplicates, for every count.

In: any text, lone surrogates included. Out: its words in order, as strings, as 64-bit hashes, or
their number; the three always agree.

A word is a maximal run of the characters that Unicode's word break algorithm (UAX #29, Word_Break
property) calls ALetter, Hebrew_Letter, Numeric and ExtendNumLet, with the Extend, Format and ZWJ
characters after them. Its rules, followed or not, and why:

    WB3a-d    line ends and spaces end a word; followed
    WB4       marks (Mn, Mc, Me) continue a word, so do invisible characters (ZWJ, ZWNJ, soft
              hyphens, direction marks), these only where more of the word follows; followed. No
              word starts with one: a variation selector behind a picture is none
    WB5, 8-10 letters and digits run together, digits of every script too; followed
    WB13a,b   `_` and its like join and are words alone, as in `\\w`; followed. A narrow no-break
              space joins, but alone is none
    WB6, 7, 11, 12  not followed: an apostrophe, a full stop, a comma and a middle dot end a word
              (`can't` and `3.14` are two each), as in `\\w+`, which published filters, scorers and
              near-duplicate truths count by
    WB13      not followed: katakana have one word a character, as all scripts without spaces
    WB999     of Thai, Lao, Khmer, Myanmar, Han and kana, where UAX #29 asks for a dictionary or
              breaks everywhere, one character is one word, with its marks: in Thai `กี่` is one.
              So it is in Yi and Vai, syllabaries that are written without spaces or with few.
              Hangul, though spaced, has one word a syllable, written as one character or as its
              jamo: published filters and scorers count so
    and       numbers that are no digits (`²` in `m²`) belong to a word, as in `\\w`

The classes are derived from Python's `unicodedata` (3.11: Unicode 14), with `ALSO_LETTERS` for what
general categories do not tell; `tests/jobs/text/test_words.py` compares them with the property.
"""

import unicodedata
from collections.abc import Collection
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

NO_WORD, WORD, ONE_CHARACTER_WORD, MARK, JOINER = range(5)
UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x115F),  # hangul jamo, initial consonants
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3005, 0x31FF),  # iteration marks, hiragana, katakana, bopomofo, compatibility jamo
    (0x3400, 0x4DBF),  # Han extension A
    (0x4E00, 0x9FFF),  # Han
    (0xA000, 0xA48F),  # Yi
    (0xA500, 0xA63F),  # Vai
    (0xA960, 0xA97F),  # hangul jamo extended A, initial consonants
    (0xA9E0, 0xA9FF),  # Myanmar extended B
    (0xAA60, 0xAA7F),  # Myanmar extended A
    (0xAA80, 0xAADF),  # Tai Viet
    (0xAC00, 0xD7AF),  # hangul syllables
    (0xF900, 0xFAFF),  # Han compatibility
    (0xFF66, 0xFFDC),  # half-width kana and hangul
    (0x11700, 0x1174F),  # Ahom
    (0x17000, 0x18D8F),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # kana supplements, Nushu
    (0x20000, 0x3FFFF),  # Han extensions B and later
)
JAMO_MARKS = ((0x1160, 0x11FF), (0xD7B0, 0xD7FF))  # vowels and final consonants of a syllable
ALSO_LETTERS = (
    *((0x02C2, 0x02C5), (0x02D2, 0x02D7), (0x02DE, 0x02DF), (0x02E5, 0x02EB), (0x02ED, 0x02ED)),
    *((0x02EF, 0x02FF), (0xA708, 0xA716), (0xA720, 0xA721), (0xA789, 0xA78A), (0xAB5B, 0xAB5B)),
    *((0x055A, 0x055C), (0x055E, 0x055E), (0x058A, 0x058A), (0x05F3, 0x05F3)),
    *((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189)),
)
"""ALetter that is no letter by its category: tone letters, Armenian signs of emphasis and question
(they stand in the word), geresh, letters in circles."""
SPACE_THAT_JOINS, ZERO_WIDTH_SPACE = 0x202F, 0x200B
CODE_POINTS = 0x110000

FNV_OFFSET, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S27, S30, S31 = np.uint64(27), np.uint64(30), np.uint64(31)


@cache
def character_kinds() -> NDArray[np.uint8]:
    """(0x110000,) NO_WORD, WORD, ONE_CHARACTER_WORD, MARK or JOINER for each code point."""
    kinds = np.fromiter((chr(code).isalnum() for code in range(CODE_POINTS)), np.uint8, CODE_POINTS)
    for first, last in ALSO_LETTERS:
        kinds[first : last + 1] = WORD
    for first, last in UNSPACED:
        kinds[first : last + 1] *= ONE_CHARACTER_WORD
    of_category = {"Nd": WORD, "Pc": WORD, "Mn": MARK, "Mc": MARK, "Me": MARK, "Cf": JOINER}
    for code in range(CODE_POINTS):
        kind = of_category.get(unicodedata.category(chr(code)))
        if kind is not None:
            kinds[code] = kind
    for first, last in JAMO_MARKS:
        kinds[first : last + 1][kinds[first : last + 1] != NO_WORD] = MARK
    kinds[SPACE_THAT_JOINS], kinds[ZERO_WIDTH_SPACE] = JOINER, NO_WORD
    return kinds


def are_unspaced(words: Collection[str]) -> NDArray[np.bool_]:
    """(words,) whether each is one sign of a script that has one word a character here."""
    first = np.fromiter((ord(word[0]) for word in words), np.int64, len(words))
    return np.equal(character_kinds()[first], ONE_CHARACTER_WORD)


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
