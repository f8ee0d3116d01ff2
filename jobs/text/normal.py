"""A text without what does not count when two are compared: compatibility forms, case, space.

Normalising sorts the marks behind a character, in quadratic time. A character of a language has
few; what stands behind the first MARKS of a run is left out, where Unicode's Stream-Safe Text (UAX
#15, 13) breaks the run, so that the time stays linear.
"""

import unicodedata
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

MARKS = 30
CODE_POINTS = 0x110000
BECOME_MARKS = (0x0F73, 0x0F75, 0x0F81, 0xFF9E, 0xFF9F)
"""Without a combining class, but their decompositions have one."""


def normalised(text: str) -> str:
    """NFKC, casefold, one space for each run of white space; lone surrogates stay."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", with_few_marks(text))
    return " ".join(text.casefold().split())


def with_few_marks(text: str) -> str:
    """The text without the marks of each run behind its first MARKS."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    kept = _kept(codes, marks(), MARKS)
    return text if kept.all() else codes[kept].tobytes().decode("utf-32-le", "surrogatepass")


@cache
def marks() -> NDArray[np.bool_]:
    """(0x110000,) whether a code point is one that normalising may move: its compatibility
    decomposition begins with a character of a combining class other than 0."""
    found = (unicodedata.combining(chr(code)) > 0 for code in range(CODE_POINTS))
    table = np.fromiter(found, np.bool_, CODE_POINTS)
    table[list(BECOME_MARKS)] = True
    return table


@njit(cache=True)
def _kept(codes: NDArray[np.uint32], marks: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    kept = np.empty(len(codes), np.bool_)
    run = 0
    for place in range(len(codes)):
        run = run + 1 if marks[codes[place]] else 0
        kept[place] = run <= most
    return kept
