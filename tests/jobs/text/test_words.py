"""One definition of a word: what is one in each script, and that all who count agree."""

import unicodedata
from collections.abc import Callable

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.text.words import (
    JOINER,
    MARK,
    NO_WORD,
    ONE_CHARACTER_WORD,
    WORD,
    are_unspaced,
    character_kinds,
    count_words,
    word_hashes,
    words,
)

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
        ("ปี๒๕๖๔", ["ปี", "๒๕๖๔"]),
        ("ລາວ", ["ລ", "າ", "ວ"]),
        ("ခရီး ភាសា", ["ခ", "ရီး", "ភា", "សា"]),
        ("x中y", ["x", "中", "y"]),
        ("ꊿꂷ ꕙꔤ", ["ꊿ", "ꂷ", "ꕙ", "ꔤ"]),
        ("Wör\u00adter für\u00ad", ["Wör\u00adter", "für"]),
        ("ինչպե՞ս՞", ["ինչպե՞ս՞"]),
        ("10\u202f000 « oui\u202f»", ["10\u202f000", "oui"]),
        ("can't 3.14 H₂O", ["can", "t", "3", "14", "H₂O"]),
        ("ja\u0488 \u200fعربي\u200f", ["ja\u0488", "عربي"]),
        ("a\u200bb", ["a", "b"]),
    ],
)
def test_a_word_is_a_run_with_its_marks_or_one_character_with_its_marks(
    text: str, expected: list[str]
) -> None:
    assert words(text) == expected


def kind_of(word_break: str) -> Callable[[str], bool]:
    """Whether a character has the Word_Break property of one of these names, by `regex`."""
    pattern = regex.compile("|".join(rf"\p{{WB={name}}}" for name in word_break.split()))
    return lambda character: pattern.fullmatch(character) is not None


OUR_OWN = regex.compile(
    r"[\p{Hangul}\p{Yi}\p{Vai}\p{Katakana}\p{Bopomofo}\p{No}\u3005-\u303c\uff9e\uff9f]"
)
"""Scripts that have one word a sign here, and numbers that are no digits."""


def test_kinds_are_unicodes_word_break_classes() -> None:
    letter = kind_of("ALetter Hebrew_Letter Numeric ExtendNumLet")
    mark = kind_of("Extend Format ZWJ")
    differing = set()
    for code, kind in enumerate(character_kinds().tolist()):
        character = chr(code)
        category = unicodedata.category(character)
        if category in ("Cn", "Cs", "Co") or (category != "Mn" and OUR_OWN.match(character)):
            continue
        expected = (WORD,) if letter(character) else (NO_WORD, ONE_CHARACTER_WORD)
        if kind not in ((MARK, JOINER) if mark(character) else expected):
            differing.add(f"{code:04X}")
    formats = {code for code in differing if unicodedata.category(chr(int(code, 16))) == "Cf"}
    assert "0600" in formats  # signs before Arabic numbers: letters since Unicode 16, joiners here
    assert differing - formats == {
        "00B8",  # a letter since Unicode 16
        "066B",  # the Arabic decimal separator: `.` ends a number too
        "202F",  # joins, but is no word alone
        *(f"1F3F{digit}" for digit in "BCDEF"),  # skin tones: they follow pictures
    }


ALIKE = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F), max_size=60)


@given(ALIKE)
@settings(deadline=None)
def test_words_are_those_of_uax_29_but_for_signs_within_words(text: str) -> None:
    """Where no rule that is not followed applies: without apostrophes, stops and their like."""
    plain = regex.sub(r"[\p{WB=MidLetter}\p{WB=MidNum}\p{WB=MidNumLet}'\"\p{No}¸]", " ", text)
    segments = regex.compile(r"(?w)\b(\X+?)\b", regex.V1).findall(plain)
    expected = [part for part in segments if regex.search(r"[\p{L}\p{N}_]", part)]
    assert [word.strip("\xad") for word in words(plain)] == [
        part.strip("\xad") for part in expected
    ]


def test_scripts_without_spaces_are_known_by_their_signs() -> None:
    assert are_unspaced(words("中かคຄខက한ꊿ")).all()
    assert not are_unspaced(words("a б हिन्दी ང ሀ")).any()


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
