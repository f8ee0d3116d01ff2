"""Sentence ends of every script: Unicode's property, and what is typed in its stead."""

import re
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from jobs.text.sentences import SENTENCE_TERMINAL, characters, count_sentences, ends_sentence


def test_the_table_is_unicodes_property() -> None:
    property_of = regex.compile(r"\p{Sentence_Terminal}")
    known = (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    assigned = {character for character in known if unicodedata.category(character) != "Cn"}
    assert characters(SENTENCE_TERMINAL) & assigned == {c for c in assigned if property_of.match(c)}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("It is. Is it? It is!", 3),
        ('He said "no." She left...', 2),
        ("Version 3.14 of example.org", 0),
        ("今天天气很好。我们去公园吧！你来吗？", 3),
        ("यह एक वाक्य है। यह दूसरा है॥", 2),
        ("یہ ایک جملہ ہے۔ کیا یہ ہے؟", 2),
        ("ይህ ነው። ያ ነው፡፡", 2),
        ("Սա է։ Դա է։", 2),
        ("នេះជាប្រយោគ។ នេះផង៕", 2),
        ("ဤသည်မှာ ဝါကျဖြစ်သည်။", 1),
        ("འདི་ཚིག་གྲུབ་ཅིག་ཡིན། འདི་ཡང་ཡིན༎", 2),
        ("นี่คือประโยค นี่ก็ด้วย", 2),
        ("", 0),
    ],
)
def test_sentences_end_in_every_script(text: str, count: int) -> None:
    assert count_sentences(text) == count


@pytest.mark.parametrize("line", ["It is.", "है।", "ہے۔", "ነው።", "ነው፡፡", "է։", "ยค", "ཡིན།", "好。"])
def test_a_line_ends_as_a_sentence_in_its_script(line: str) -> None:
    assert ends_sentence(line)


@pytest.mark.parametrize(
    "line", ["", "Home", "one,", "two;", "three:", '"four"', "(five)", "好，", "እና፣"]
)
def test_what_continues_or_closes_a_sentence_is_no_end(line: str) -> None:
    assert not ends_sentence(line)


@given(st.text(st.sampled_from(".!?a \n\"')]”"), max_size=40))
def test_marks_in_a_row_are_one_end_where_the_last_one_is(text: str) -> None:
    assert count_sentences(text) == len(re.findall("[.!?]+(?=[\\s\"'”’)\\]]|$)", text))
