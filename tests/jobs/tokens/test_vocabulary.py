"""The three kinds of tokenizer: each gives any text back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from infra.errors import GristmillError
from jobs.tokens.vocabulary import (
    PIECES,
    byte_symbols,
    bytes_tokenizer,
    chars_tokenizer,
    end_of_text,
    token_bytes,
    train_bpe,
)

TEXTS = [
    "the cat sat on the mat\n\nand the dog sat too.",
    "El perro y el gato: ¿qué tal?",
    "猫が座った 123 456",
    "\ttabs and  spaces ",
] * 5
ALPHABET = "ab c\n\r\t é猫🎉<|>\u0301\u00a0"


UNBOUNDED = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
RUNS = st.lists(
    st.tuples(
        st.sampled_from(["a", "é", "猫", " ", "\n", "\r\n", "!", "5", "\u0301", "x."]),
        st.integers(1, 600),
    ),
    max_size=6,
).map(lambda runs: "".join(text * times for text, times in runs))


def reopened(tokenizer: Tokenizer) -> Tokenizer:
    again = Tokenizer.from_str(tokenizer.to_str())
    again.encode_special_tokens = True
    return again


BPE = reopened(train_bpe(TEXTS, 400))
BYTES = reopened(bytes_tokenizer())
CHARS = reopened(chars_tokenizer(ALPHABET))


@settings(deadline=None)
@given(
    st.text(max_size=80)
    | st.text(ALPHABET, max_size=80)
    | st.sampled_from(["<|endoftext|>", "a<|endoftext|> b"])
)
def test_byte_level_tokenizers_give_every_text_back(text: str) -> None:
    for tokenizer in (BPE, BYTES):
        ids = tokenizer.encode(text).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
        assert end_of_text(tokenizer) not in ids
        assert sum(token_bytes(tokenizer)[i] for i in ids) == len(text.encode())


@given(st.text(ALPHABET, max_size=80))
def test_the_character_tokenizer_gives_texts_of_its_characters_back(text: str) -> None:
    ids = CHARS.encode(text).ids
    assert len(ids) == len(text)
    assert CHARS.decode(ids) == text
    assert ids == [sorted(set(ALPHABET)).index(character) for character in text]


@given(st.text(max_size=40))
def test_the_ids_of_the_byte_tokenizer_are_the_bytes(text: str) -> None:
    assert BYTES.encode(text).ids == list(text.encode())


def test_training_depends_on_the_texts_and_not_on_their_order() -> None:
    assert train_bpe(TEXTS, 400).to_str() == train_bpe(list(reversed(TEXTS)), 400).to_str()


def test_no_token_holds_more_than_two_digits_or_crosses_a_word() -> None:
    trained = train_bpe(["12345678 in the in the"] * 50, 400)
    assert all(
        sum(c.isdigit() for c in token) <= 2 and "Ġ" not in token[1:]
        for token in trained.get_vocab()
    )


def test_each_byte_has_a_printable_symbol_of_its_own() -> None:
    symbols = byte_symbols()
    assert len(set(symbols)) == 256
    assert all(symbol.isprintable() and not symbol.isspace() for symbol in symbols)


def test_a_tokenizer_of_another_kind_has_no_known_bytes() -> None:
    with pytest.raises(GristmillError, match="neither byte-level nor of characters"):
        token_bytes(Tokenizer(models.Unigram()))


@given(st.text(max_size=80) | st.text("ab'll \t\n\r5!.é猫\u0301", max_size=200))
def test_pieces_of_a_text_without_long_runs_are_as_without_a_bound(text: str) -> None:
    unbounded = pre_tokenizers.Split(Regex(UNBOUNDED), "isolated")
    bounded = pre_tokenizers.Split(Regex(PIECES), "isolated")
    assert bounded.pre_tokenize_str(text) == unbounded.pre_tokenize_str(text)


@given(RUNS)
@settings(deadline=None)
def test_no_piece_is_longer_than_merging_stands(text: str) -> None:
    pieces = pre_tokenizers.Split(Regex(PIECES), "isolated").pre_tokenize_str(text)
    assert "".join(piece for piece, _ in pieces) == text
    assert max((len(piece) for piece, _ in pieces), default=0) <= 513


@given(RUNS)
@settings(deadline=None, max_examples=30)
def test_transformers_gives_the_same_ids(text: str) -> None:
    for tokenizer in (BPE, BYTES):
        again = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(tokenizer.to_str()))
        assert again(text)["input_ids"] == tokenizer.encode(text).ids


def test_ten_million_spaces_in_a_row_can_be_learnt_from() -> None:
    trained = train_bpe([" " * 10_100_000 + "a"], 300)
    assert trained.decode(trained.encode(" " * 2000).ids) == " " * 2000
