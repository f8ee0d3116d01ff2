"""Quality signals of a text: numbers to decide by, made once; the decision is `jobs.filter`'s.

In: one text. Out: one value for each name in SIGNALS. Ratios lie in 0..1 and are 0 where there is
nothing to divide by. Words are those of `jobs.text.words`; a line is a non-empty line, a paragraph
what stands between blank lines; shares of n-grams count the characters of words.

Sources: GOPHER, C4 and FINEWEB below. Where the papers leave room, duplicates are what follows a
first occurrence, as in FineWeb's published code.
"""

import re
from collections.abc import Sequence

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.text.sentences import count_sentences, ends_sentence
from jobs.text.words import are_unspaced, words

GOPHER = "Gopher (Rae et al. 2021, arXiv:2112.11446, A.1.1 and table A1)"
C4 = "C4 (Raffel et al. 2020, JMLR 21, 2.2)"
FINEWEB = "FineWeb (Penedo et al. 2024, arXiv:2406.17557, 3.6)"
SIGNALS: dict[str, pa.DataType] = {
    # Gopher, quality
    "word_count": pa.int64(),
    "mean_word_length": pa.float64(),
    "hash_ratio": pa.float64(),
    "ellipsis_ratio": pa.float64(),
    "bullet_line_ratio": pa.float64(),
    "ellipsis_line_ratio": pa.float64(),
    "alpha_word_ratio": pa.float64(),
    "stop_words": pa.int64(),
    # Gopher, repetition
    "dup_line_ratio": pa.float64(),
    "dup_paragraph_ratio": pa.float64(),
    "dup_line_char_ratio": pa.float64(),
    "dup_paragraph_char_ratio": pa.float64(),
    **{f"top_{n}gram_ratio": pa.float64() for n in (2, 3, 4)},
    **{f"dup_{n}gram_ratio": pa.float64() for n in (5, 6, 7, 8, 9, 10)},
    # C4
    "line_count": pa.int64(),
    "terminal_line_ratio": pa.float64(),
    "javascript_line_ratio": pa.float64(),
    "lorem_ipsum": pa.int64(),
    "curly_brackets": pa.int64(),
    "sentences": pa.int64(),
    # FineWeb
    "line_punct_ratio": pa.float64(),
    "short_line_ratio": pa.float64(),
    "char_dup_ratio": pa.float64(),
    "new_line_ratio": pa.float64(),
    # scripts
    "unspaced_word_ratio": pa.float64(),
}
"""Name -> Arrow type; what each one is: `jobs.columns.SIGNAL`."""

STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
BULLETS = ("•", "‣", "⁃", "◦", "▪", "▸", "►", "●", "○", "■", "□", "–", "- ", "* ", "+ ", "·")
QUOTES = ('"', "'", "”", "’", "」", "』", "»")
PARAGRAPH = re.compile(r"\n\s*\n")
SHORT_LINE_CHARS = 30
NGRAMS = (2, 3, 4, 5, 6, 7, 8, 9, 10)


def signals(text: str) -> dict[str, int | float]:
    """All signals of one text, in the order of SIGNALS."""
    tokens = words(text)
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    paragraphs = [part.strip() for part in PARAGRAPH.split(text) if part.strip()]
    n_lines = len(lines)
    lower = text.lower()
    ellipses = lower.count("...") + lower.count("…")
    script_lines = (
        sum("javascript" in line for line in lower.splitlines()) if "javascript" in lower else 0
    )
    repeated_lines, repeated_line_chars = _repeated(lines)
    repeated_paragraphs, repeated_paragraph_chars = _repeated(paragraphs)
    places = {token: place for place, token in enumerate(dict.fromkeys(tokens))}
    codes = np.array(list(map(places.__getitem__, tokens)), np.int64)
    lengths = np.array(list(map(len, places)), np.int64)[codes] if tokens else codes
    alphabetic = np.array(
        [token.isalpha() or any(map(str.isalpha, token)) for token in places], np.bool_
    )
    unspaced = are_unspaced(places.keys())
    repetition = ngram_ratios(codes, lengths) if tokens else np.zeros(len(NGRAMS))
    values = (
        len(tokens),
        _ratio(int(lengths.sum()), len(tokens)),
        _ratio(text.count("#"), len(tokens)),
        _ratio(ellipses, len(tokens)),
        _ratio(sum(line.startswith(BULLETS) for line in lines), n_lines),
        _ratio(sum(line.endswith(("...", "…")) for line in lines), n_lines),
        _ratio(int(alphabetic[codes].sum()) if tokens else 0, len(tokens)),
        len(STOP_WORDS.intersection(map(str.lower, places))),
        _ratio(repeated_lines, n_lines),
        _ratio(repeated_paragraphs, len(paragraphs)),
        _ratio(repeated_line_chars, sum(map(len, lines))),
        _ratio(repeated_paragraph_chars, sum(map(len, paragraphs))),
        *repetition.tolist(),
        n_lines,
        _ratio(sum(map(ends_sentence_or_quote, lines)), n_lines),
        _ratio(script_lines, n_lines),
        lower.count("lorem ipsum"),
        text.count("{"),
        count_sentences(text),
        _ratio(sum(map(ends_sentence, lines)), n_lines),
        _ratio(sum(len(line) <= SHORT_LINE_CHARS for line in lines), n_lines),
        _ratio(repeated_line_chars, len(text) - text.count("\n")),
        min(1.0, _ratio(max(0, n_lines - 1), len(tokens))),
        _ratio(int(unspaced[codes].sum()) if tokens else 0, len(tokens)),
    )
    return dict(zip(SIGNALS, values, strict=True))


def signals_of(texts: Sequence[str | None]) -> pa.StructArray:
    """The signals of a column of texts as one struct column; a missing text is an empty one."""
    rows = [signals(text or "") for text in texts]
    return pa.StructArray.from_arrays(
        [pa.array([row[name] for row in rows], kind) for name, kind in SIGNALS.items()],
        names=list(SIGNALS),
    )


def ends_sentence_or_quote(line: str) -> bool:
    """C4's end of a line: `. ! ? "`, in every script."""
    return ends_sentence(line) or line.endswith(QUOTES)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _repeated(parts: list[str]) -> tuple[int, int]:
    """How many parts occurred before, and how many characters they have."""
    seen: set[str] = set()
    count = chars = 0
    for part in parts:
        if part in seen:
            count += 1
            chars += len(part)
        else:
            seen.add(part)
    return count, chars


@numba.njit(cache=True)
def ngram_ratios(codes: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """(9,) shares for n = 2 to 10: see `top_Ngram_ratio` (2 to 4) and `dup_Ngram_ratio`.

    codes (words,) equal for equal words; lengths (words,) in characters. n-grams are compared by
    64-bit hashes in an open hash table.
    """
    count = len(codes)
    total = lengths.sum()
    result = np.zeros(9, np.float64)
    size = 16
    while size < 2 * count:
        size *= 2
    mask = np.uint64(size - 1)
    keys = np.empty(size, np.uint64)
    seen = np.empty(size, np.int64)
    hashes = np.empty(count, np.uint64)
    ends = np.zeros(count + 1, np.int64)
    for i in range(count):
        hashes[i] = np.uint64(codes[i] + 1) * np.uint64(0x9E3779B97F4A7C15)
        ends[i + 1] = ends[i] + lengths[i]
    for n in range(2, 11):
        if n > count:
            break
        seen[:] = 0
        best_count = 1
        best_chars = 0
        covered_to = 0
        repeated = 0
        for i in range(count - n + 1):
            h = hashes[i] ^ (np.uint64(codes[i + n - 1] + 1) * np.uint64(0xC2B2AE3D27D4EB4F))
            h = (h ^ (h >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
            h ^= h >> np.uint64(32)
            hashes[i] = h
            slot = h & mask
            while seen[slot] and keys[slot] != h:
                slot = (slot + np.uint64(1)) & mask
            keys[slot] = h
            seen[slot] += 1
            if seen[slot] < 2:
                continue
            if n < 5:
                chars = ends[i + n] - ends[i]
                if seen[slot] > best_count or (seen[slot] == best_count and chars > best_chars):
                    best_count = seen[slot]
                    best_chars = chars
            else:
                start = max(i, covered_to)
                repeated += ends[i + n] - ends[start]
                covered_to = i + n
        if n < 5:
            repeated = best_count * best_chars
        result[n - 2] = min(1.0, repeated / total) if total else 0.0
    return result
