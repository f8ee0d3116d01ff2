"""The three kinds of tokenizer, all as `tokenizer.json` of Hugging Face's `tokenizers`; each gives
any text back exactly. No Spark.

bpe    byte-level byte-pair encoding (Sennrich et al., 2016; Radford et al., 2019, 2.2); ids: 0 end
       of text, 1..256 bytes, then merges
bytes  ids: 0..255 the UTF-8 bytes, 256 end of text
chars  ids: the corpus's characters in order of code point; no end of text; a character outside the
       corpus is an error
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from infra.errors import GristmillError

END_OF_TEXT = "<|endoftext|>"
NO_END = -1
PIECES = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}{1,256}|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]{1,256}[\r\n]{0,256}|\s{0,256}[\r\n]|\s{1,256}(?!\S)|\s{1,256}"
)
"""No piece is longer than 513 characters: merges within one take quadratic time to learn, and the
expression's engine gives up on runs of ten million. Texts of people have no longer ones."""
ANY_CHARACTER = r"[\s\S]"


def byte_symbols() -> list[str]:
    """The printable character that stands for each byte 0..255 in byte-level vocabularies (Radford
    et al.'s `bytes_to_unicode`)."""
    shown = {
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    }
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)]


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE over the texts; depends on their multiset alone. Words are cut by `PIECES`: at
    most two digits, no spaces inside."""
    tokenizer = _byte_level(models.BPE(), pre_tokenizers.Split(Regex(PIECES), "isolated"))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def bytes_tokenizer() -> Tokenizer:
    """One token a byte."""
    vocabulary = {symbol: byte for byte, symbol in enumerate(byte_symbols())}
    tokenizer = _byte_level(
        models.BPE(vocabulary, []), pre_tokenizers.Split(Regex(PIECES), "isolated")
    )
    tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    return tokenizer


def chars_tokenizer(characters: Iterable[str]) -> Tokenizer:
    """One token a character of `characters`."""
    vocabulary = {character: index for index, character in enumerate(sorted(set(characters)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=""))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(ANY_CHARACTER), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def end_of_text(tokenizer: Tokenizer) -> int:
    """The id that ends a document, `NO_END` where there is none."""
    found: int | None = tokenizer.token_to_id(END_OF_TEXT)
    return NO_END if found is None else found


def token_bytes(tokenizer: Tokenizer) -> list[int]:
    """(vocab_size,) UTF-8 bytes that each token stands for; 0 for the end of text. Raises
    GristmillError for other kinds of tokenizer."""
    byte_level = isinstance(tokenizer.decoder, decoders.ByteLevel)
    if not byte_level and not isinstance(tokenizer.model, models.WordLevel):
        raise GristmillError(
            "the tokenizer is neither byte-level nor of characters;"
            " make it with `gristmill tokenizer`"
        )
    sizes = [0] * tokenizer.get_vocab_size()
    for token, index in tokenizer.get_vocab().items():
        if token != END_OF_TEXT:
            sizes[index] = len(token) if byte_level else len(token.encode())
    return sizes


def _byte_level(model: models.Model, split: pre_tokenizers.PreTokenizer) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
