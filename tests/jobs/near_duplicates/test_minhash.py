"""Shingles, signatures and band keys: what the estimate promises."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.near_duplicates.minhash import (
    band_keys,
    content_key,
    hash_functions,
    jaccard,
    shingles_of,
    signature_of,
)
from jobs.text.words import word_hashes

FUNCTIONS = hash_functions(512, seed=1)
WORDS = st.lists(
    st.sampled_from(["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"]),
    min_size=5,
    max_size=60,
)


def of(text: str) -> np.ndarray:
    return shingles_of(word_hashes(text), 5)


def test_case_and_punctuation_do_not_change_the_shingles() -> None:
    assert np.array_equal(of("One, two; THREE four - five six"), of("one two three four five six"))


def test_a_text_under_five_words_is_one_shingle_and_a_text_without_words_none() -> None:
    assert len(of("page not found")) == 1
    assert len(of("... !")) == 0
    assert jaccard(of("page not found"), of("Page not found!")) == 1.0
    assert jaccard(of(""), of("")) == 0.0


@settings(deadline=None)
@given(WORDS, WORDS)
def test_exact_similarity_is_that_of_the_sets_of_five_word_sequences(
    left: list[str], right: list[str]
) -> None:
    a, b = ({tuple(words[i : i + 5]) for i in range(len(words) - 4)} for words in (left, right))
    assert jaccard(of(" ".join(left)), of(" ".join(right))) == len(a & b) / len(a | b)
    assert jaccard(of(" ".join(right)), of(" ".join(left))) == len(a & b) / len(a | b)


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400), st.integers(1, 400), st.integers(0, 2**32))
def test_the_share_of_equal_minima_is_near_the_similarity(
    only_left: int, only_right: int, both: int, seed: int
) -> None:
    drawn = np.random.default_rng(seed).integers(0, 2**64, only_left + only_right + both, np.uint64)
    left, right = np.sort(drawn[: only_left + both]), np.sort(drawn[only_left:])
    estimate = np.mean(signature_of(left, FUNCTIONS) == signature_of(right, FUNCTIONS))
    five_point_nine_deviations_of_512_draws = 0.13
    assert abs(estimate - jaccard(left, right)) < five_point_nine_deviations_of_512_draws


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50, unique=True), st.randoms())
def test_a_signature_does_not_depend_on_the_order_of_the_shingles(
    values: list[int], random: object
) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert np.array_equal(
        signature_of(np.array(values, np.uint64), FUNCTIONS),
        signature_of(np.array(shuffled, np.uint64), FUNCTIONS),
    )


def test_hashes_are_the_same_on_every_machine_and_in_every_process() -> None:
    shingles = of("It was the best of times, it was the worst of times; 最良の時代")
    signature = signature_of(shingles, hash_functions(12, seed=7))
    assert len(shingles) == 13
    assert int(shingles[0]) == 625142851978641299
    assert band_keys(signature, 2).tolist() == [5559334267195502493, 8268605790476266274]


def test_bands_differ_in_their_keys_even_where_their_minima_agree() -> None:
    assert len(set(band_keys(np.zeros(12, np.uint64), 4).tolist())) == 4


def test_equal_content_means_equal_up_to_case_compatibility_forms_and_white_space() -> None:
    assert content_key("Ｆｕｌｌ  width\n Straße") == content_key(" full width STRASSE ")
    assert content_key("a b") != content_key("ab")
