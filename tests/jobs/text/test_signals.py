"""Each signal by hand on small texts, and what holds for any text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.text.signals import SIGNALS, signals, signals_of
from jobs.text.words import words

PROSE = (
    "The fox said that it would be home with us.\nAnd the dog went to sleep.\n\n"
    "Many things are left to do, of course!"
)


def test_prose_has_the_signals_of_prose() -> None:
    got = signals(PROSE)
    assert list(got) == list(SIGNALS)
    assert (got["word_count"], got["line_count"], got["sentences"]) == (24, 3, 3)
    assert got["stop_words"] == 7
    assert got["alpha_word_ratio"] == got["line_punct_ratio"] == got["terminal_line_ratio"] == 1.0
    assert got["mean_word_length"] == pytest.approx(sum(map(len, words(PROSE))) / 24)
    assert all(got[name] == 0 for name in SIGNALS if name.startswith("dup_"))


def test_symbols_bullets_and_ellipses_are_counted() -> None:
    got = signals("• one\n- two...\n#tag # and more…\nplain 42")
    assert got["bullet_line_ratio"] == 0.5
    assert got["ellipsis_line_ratio"] == 0.5
    assert got["hash_ratio"] == pytest.approx(2 / 7)
    assert got["ellipsis_ratio"] == pytest.approx(2 / 7)
    assert got["alpha_word_ratio"] == pytest.approx(6 / 7)


def test_c4_signals() -> None:
    got = signals("Please enable JavaScript.\nLorem ipsum dolor { sit }\nfunction() {")
    assert (got["javascript_line_ratio"], got["lorem_ipsum"], got["curly_brackets"]) == (
        pytest.approx(1 / 3),
        1,
        2,
    )
    assert got["terminal_line_ratio"] == pytest.approx(1 / 3)


def test_repeated_lines_and_paragraphs_count_from_their_second_time() -> None:
    got = signals("same line\nsame line\nother ln.\n\nsame line")
    assert got["dup_line_ratio"] == 0.5
    assert got["dup_line_char_ratio"] == pytest.approx(18 / 36)
    assert got["char_dup_ratio"] == pytest.approx(18 / 36)
    assert signals("a b\n\na b\n\nc d\n \t\na b")["dup_paragraph_ratio"] == 0.5


def test_ngram_shares_follow_a_plain_computation() -> None:
    tokens = ["a", "bb", "a", "bb", "ccc", "a", "bb", *"defghi", *"defghi", "j"]
    got = signals(" ".join(tokens))
    total = sum(map(len, tokens))
    assert got["top_2gram_ratio"] == pytest.approx(9 / total)
    for n in range(5, 11):
        seen: set[tuple[str, ...]] = set()
        covered: set[int] = set()
        for start in range(len(tokens) - n + 1):
            gram = tuple(tokens[start : start + n])
            if gram in seen:
                covered.update(range(start, start + n))
            seen.add(gram)
        assert got[f"dup_{n}gram_ratio"] == pytest.approx(
            sum(len(tokens[i]) for i in covered) / total
        ), n


def test_a_text_without_repetition_has_no_frequent_ngram() -> None:
    got = signals("one two three four five six")
    assert [got[f"top_{n}gram_ratio"] for n in (2, 3, 4)] == [0.0, 0.0, 0.0]


def test_only_the_end_of_a_sentence_is_line_punctuation() -> None:
    got = signals('One,\ntwo;\nthree:\n(four)\n"five"\nsix.\nseven?\neight…')
    assert got["line_punct_ratio"] == pytest.approx(2 / 8)
    assert got["terminal_line_ratio"] == pytest.approx(3 / 8)


def test_a_line_of_thirty_characters_is_short() -> None:
    assert signals(f"{'x' * 30}\n{'x' * 31}")["short_line_ratio"] == 0.5


def test_ends_of_lines_a_word_show_lists() -> None:
    assert signals("one two\n\nthree\nfour")["new_line_ratio"] == pytest.approx(2 / 4)
    assert signals("one two three")["new_line_ratio"] == 0
    assert signals("!\n!\n!\nword")["new_line_ratio"] == 1.0


def test_scripts_without_spaces_are_a_share_of_the_words() -> None:
    assert signals("漢字 and words")["unspaced_word_ratio"] == pytest.approx(2 / 4)
    assert signals("ordinary words")["unspaced_word_ratio"] == 0


def test_chinese_sentences_and_lines_are_seen() -> None:
    got = signals("今天天气很好。我们去公园吧！\n你来吗？")
    assert (got["sentences"], got["line_punct_ratio"], got["mean_word_length"]) == (3, 1.0, 1.0)


def test_words_of_south_asia_have_the_length_of_words() -> None:
    got = signals("भारत एक विशाल देश है और यहाँ अनेक भाषाएँ बोली जाती हैं।")
    assert (got["word_count"], got["alpha_word_ratio"], got["line_punct_ratio"]) == (12, 1.0, 1.0)
    assert got["mean_word_length"] == pytest.approx(43 / 12)


@given(st.text(max_size=400))
@settings(deadline=None)
def test_ratios_stay_between_0_and_1_for_any_text(text: str) -> None:
    got = signals(text)
    for name, value in got.items():
        assert value >= 0
        if name.endswith("_ratio") and name not in ("hash_ratio", "ellipsis_ratio"):
            assert value <= 1, name


@given(st.lists(st.sampled_from(["a", "bb", "ccc"]), max_size=60))
@settings(deadline=None)
def test_longer_ngrams_never_repeat_more(tokens: list[str]) -> None:
    got = signals(" ".join(tokens))
    shares = [got[f"dup_{n}gram_ratio"] for n in range(5, 11)]
    assert shares == sorted(shares, reverse=True)


def test_a_column_of_texts_becomes_a_struct_column() -> None:
    column = signals_of([PROSE, None])
    assert [field.name for field in column.type] == list(SIGNALS)
    assert column.to_pylist() == [signals(PROSE), signals("")]
