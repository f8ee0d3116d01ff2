"""One definition of a word: what is one in each script, and that all who count agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.text.words import count_words, word_hashes, words

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)
"""Lone surrogates included."""
HARD_TEXT = st.text(
    st.sampled_from("aB1_ .ı\u0130\u0301\u200c\u200dกี่ไਪੰਜขै漢かﾞ한\u1112\u1161\u11ab❤\ufe0f\ud800"),
    max_size=40,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, wörld_1!", ["Hello", "wörld_1"]),
        ("Cafe\u0301 noir", ["Cafe\u0301", "noir"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("ਪੰਜਾਬੀ தமிழ் ಕನ್ನಡ", ["ਪੰਜਾਬੀ", "தமிழ்", "ಕನ್ನಡ"]),
        ("Python入門です", ["Python", "入", "門", "で", "す"]),
        ("か\u3099き 人々", ["か\u3099", "き", "人", "々"]),
        ("한국 \u1112\u1161\u11ab", ["한", "국", "\u1112\u1161\u11ab"]),
        ("กี่ไทย", ["กี่", "ไ", "ท", "ย"]),
        ("ລາວ", ["ລ", "າ", "ວ"]),
        ("ခရီး ភាសា", ["ခ", "ရီး", "ភា", "សា"]),
        ("x中y", ["x", "中", "y"]),
    ],
)
def test_a_word_is_a_run_with_its_marks_or_one_character_with_its_marks(
    text: str, expected: list[str]
) -> None:
    assert words(text) == expected


def test_a_joiner_belongs_to_a_word_only_inside_it() -> None:
    assert words("می\u200cخواهم") == ["می\u200cخواهم"]
    assert words("ශ්\u200dරී") == ["ශ්\u200dරී"]
    assert words("\u200ca\u200d b\u200c") == ["a", "b"]
    assert words("ก\u200dข") == ["ก", "ข"]


def test_a_mark_without_a_word_is_none() -> None:
    assert words("❤\ufe0f \u0301a") == ["a"]


@given(ANY_TEXT | HARD_TEXT)
@settings(deadline=None, max_examples=400)
def test_all_who_count_words_count_the_same(text: str) -> None:
    assert len(words(text)) == count_words(text) == len(word_hashes(text))


@given(ANY_TEXT | HARD_TEXT, ANY_TEXT | HARD_TEXT)
@settings(deadline=None)
def test_the_words_of_two_texts_are_those_of_each(left: str, right: str) -> None:
    assert words(f"{left} {right}") == words(left) + words(right)


@given(ANY_TEXT | HARD_TEXT)
@settings(deadline=None)
def test_a_word_is_itself_a_text_of_one_word_and_keeps_its_hash(text: str) -> None:
    lower = text.lower()
    found = words(lower)
    assert all(words(word) == [word] for word in found)
    hashes = word_hashes(lower).tolist()
    assert hashes == [int(word_hashes(word)[0]) for word in found]
    assert len(set(hashes)) == len(set(found))


def test_case_does_not_change_a_hash() -> None:
    assert np.array_equal(word_hashes("Straße GRÖSSE"), word_hashes("straße grösse"))


def test_hashes_are_the_same_on_every_machine_and_in_every_process() -> None:
    assert word_hashes("Word 最").tolist() == [17945623671319355029, 5389476815223371837]
