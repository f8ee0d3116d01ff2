"""The language of a text.

Languages with a script of their own and no spaces between words (and Korean) are told by that
script, one character counting as three Latin letters: pages in them are full of Latin names and
code. All others by resiliparse's n-gram ranks. The first 2,000 characters decide.
"""

import re

from resiliparse.parse.lang import detect_fast

LANGUAGE_CHARS = 2000
WORST_RANK = 1200
"""resiliparse's rank from which on false results begin."""
SCRIPTS = {
    "zh": re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"),
    "ja": re.compile("[\u3041-\u30ff\uff66-\uff9f]"),
    "ko": re.compile("[\uac00-\ud7a3\u1100-\u11ff]"),
    "th": re.compile("[\u0e01-\u0e4e]"),
    "lo": re.compile("[\u0e81-\u0ecd\u0edc-\u0edf]"),
    "km": re.compile("[\u1780-\u17d3]"),
    "my": re.compile("[\u1000-\u109f]"),
}
LETTERS_PER_SIGN = 3
KANA_WEIGHT = 8
"""Japanese is mostly Han characters: one kana in eight signs makes a text Japanese."""


def language(text: str) -> tuple[str, float]:
    """(ISO 639-1 code, confidence 0 to 1); (`unknown`, 0.0) where nothing fits.

    Confidence is the script's share of the letters; for a language told by n-grams it falls
    linearly with the rank, from 1 at rank 0 to 0 at 1200.
    """
    head = text[:LANGUAGE_CHARS]
    letters = sum(map(str.isalpha, head))
    if not letters:
        return "unknown", 0.0
    by_script = {code: len(letter.findall(head)) for code, letter in SCRIPTS.items()}
    east = sum(by_script.values())
    if east * LETTERS_PER_SIGN >= letters - east:
        code = max(
            by_script, key=lambda name: by_script[name] * (KANA_WEIGHT if name == "ja" else 1)
        )
        return code, round(
            min(1.0, east * LETTERS_PER_SIGN / (letters - east + east * LETTERS_PER_SIGN)), 4
        )
    found, rank = detect_fast(head, cutoff=WORST_RANK)
    return found, 0.0 if found == "unknown" else round(max(0.0, 1.0 - rank / WORST_RANK), 4)
