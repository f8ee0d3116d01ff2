"""Normalised texts: NFKC as it is, but for marks that no language has so many of."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.text.normal import MARKS, marks, normalised, with_few_marks

ODD = st.text(
    st.sampled_from("aé\u0300\u0316\u0344\u0f73\uff9e\u1e9b ﬁİ\t\n\U0001d165"), max_size=MARKS
)


@settings(deadline=None)
@given(st.text(max_size=60) | ODD)
def test_a_text_is_normalised_as_unicode_says(text: str) -> None:
    normal = unicodedata.normalize("NFKC", text).casefold()
    assert normalised(text) == " ".join(normal.split())


@settings(deadline=None)
@given(st.text(st.sampled_from("a\u0300\u0316\uff9e"), max_size=200))
def test_no_run_of_marks_is_longer_than_sorting_stands(text: str) -> None:
    few = with_few_marks(text)
    runs = "".join("m" if marks()[ord(character)] else " " for character in few).split()
    assert max(map(len, runs), default=0) <= MARKS
    assert few == text or len(few) > MARKS


def test_lone_surrogates_stay() -> None:
    assert normalised("\ud800 " + "\u0300" * 99) == "\ud800 " + "\u0300" * MARKS


def test_marks_are_what_normalising_sorts() -> None:
    for code, mark in enumerate(marks()):
        first = unicodedata.normalize("NFKD", chr(code))[0]
        assert mark == (unicodedata.combining(first) > 0)
