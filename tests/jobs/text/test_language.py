"""Languages told by script and by n-grams, and that any text has an answer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.text.language import language


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("这是一个简单的测试，看看语言检测是否正确。", "zh"),
        ("これは日本語の文章です。Pythonの使い方を説明します。", "ja"),
        ("이것은 한국어 문장입니다.", "ko"),
        ("นี่คือข้อความภาษาไทย", "th"),
        ("ພາສາລາວເປັນພາສາທາງການ", "lo"),
        ("ភាសាខ្មែរជាភាសាផ្លូវការ", "km"),
        ("မြန်မာဘာသာစကားသည်", "my"),
        (
            "The quick brown fox jumps over the lazy dog, and then it goes home to sleep until "
            "the morning comes. " * 3,
            "en",
        ),
        (
            "Der schnelle braune Fuchs springt über den faulen Hund, und dann geht er nach Hause, "
            "um zu schlafen. " * 3,
            "de",
        ),
        ("12345 67890 !!", "unknown"),
        ("", "unknown"),
    ],
)
def test_languages_are_recognised(text: str, code: str) -> None:
    assert language(text)[0] == code


def test_a_script_of_its_own_wins_over_latin_names_and_code() -> None:
    code, score = language("これはテストです。print(hello_world)")
    assert code == "ja" and 0.5 < score < 1.0


@given(st.text(max_size=300))
@settings(deadline=None)
def test_any_text_has_a_language_and_a_confidence(text: str) -> None:
    code, score = language(text)
    assert code and 0.0 <= score <= 1.0
