"""Decoding: measured on labelled files, and what holds for any bytes."""

import codecs
import encodings
import pkgutil
import re
import tarfile
from encodings.aliases import aliases
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.text.charset import OUTNUMBER, decode
from jobs.text.labels import BEYOND, BY_LABEL, declared_codec

PYTHON_NAMES = {"MacCyrillic": "mac-cyrillic", "MacRoman": "mac-roman"}
NO_CODEC = {"EUC-TW"}

MODULES = (module.name for module in pkgutil.iter_modules(encodings.__path__))
CODECS = sorted({*aliases, *aliases.values(), *MODULES})
"""Every codec name that Python knows."""


CJK = ("gb18030", "big5hkscs", "euc_jp", "cp932", "cp949")


@pytest.fixture(scope="module")
def labelled(shared: Path) -> list[tuple[str, bytes]]:
    """(codec, bytes) of files whose encoding is known."""
    found = []
    with tarfile.open(next((shared / "data" / "enc").glob("*.tar.xz"))) as archive:
        for member in archive:
            folder = Path(member.name).parent.name
            if member.isfile() and folder not in (*NO_CODEC, "chardet"):
                found.append((codec_of(folder), archive.extractfile(member).read()))  # type: ignore[union-attr]
    return found


def codec_of(folder: str) -> str:
    """`windows-1250-czech` -> `windows-1250`."""
    family = re.match(r"iso-8859-\d+|windows-\d+", folder)
    return family[0] if family else PYTHON_NAMES.get(folder, folder)


@pytest.mark.parametrize(
    ("text", "charset", "declared", "named"),
    [
        ("häufig gelogen", "utf-8", "iso-8859-1", "utf-8"),
        ("mit Marke", "utf-8-sig", "", "utf-8"),
        ("Ünïcode", "utf-16", "", "utf-16-le"),
        ("plain wide letters", "utf-16-be", "", "utf-16-be"),
        ("plain wider letters", "utf-32-le", "", "utf-32-le"),
        ("Это русский текст", "koi8-r", "KOI8-R", "koi8-r"),
        ("Größe – “quoted”", "cp1252", "ISO-8859-1", "cp1252"),
        ("日本語の文章です。", "iso2022_jp", "", "iso2022_jp"),
        ("日本語の文章です。これはテストです。", "shift_jis", "", "cp932"),
        ("이것은 한국어 문장입니다. 그리고 또 하나.", "euc_kr", "", "cp949"),
    ],
)
def test_text_comes_back_from_its_encoding(
    text: str, charset: str, declared: str, named: str
) -> None:
    assert decode(text.encode(charset), declared) == (text, named)


def test_a_page_says_its_own_charset_when_the_server_is_silent_or_wrong() -> None:
    page = '<html><head><meta charset="windows-1251"></head><body>Привет, мир</body></html>'
    assert decode(page.encode("cp1251")) == (page, "cp1251")
    assert decode(page.encode("cp1251"), "no-such-charset") == (page, "cp1251")
    assert decode(page.encode(), "windows-1251")[0] == page


def test_a_few_bad_bytes_do_not_change_the_charset_of_a_page() -> None:
    text = "Überall stehen Umlaute: äöü. " * 100
    decoded, charset = decode(text.encode() + b"\xff cut \xc3")
    assert charset == "utf-8" and decoded.startswith(text)


@pytest.mark.parametrize("declared", ["utf-8", ""])
@pytest.mark.parametrize(
    ("before", "after"), [(b"\xe9", b""), (b"\xa9\x93\x94", b""), (b"", b"\xe2\x82")]
)
def test_a_text_is_utf8_while_its_sequences_outnumber_bad_bytes(
    texts: dict[str, str], before: bytes, after: bytes, declared: str
) -> None:
    needed = OUTNUMBER[bool(declared)] * len(before)
    tried = 0
    for text in (text[:3000] for text in texts.values()):
        if sum(not letter.isascii() for letter in text) > needed:
            data = before + b" " + text.encode() + after
            assert decode(data, declared) == (data.decode("utf-8", "replace"), "utf-8")
            tried += 1
    assert tried > 250


def test_a_text_in_another_encoding_is_not_utf8_whatever_is_declared(texts: dict[str, str]) -> None:
    tried = 0
    for text in (text[:1000] for text in texts.values()):
        for codec in ("cp1252", "cp1250", "cp1251", "koi8-r", "cp1253", "cp1256", "cp874", *CJK):
            data = text.encode(codec, "ignore")
            if len(data.decode(codec)) > 0.9 * len(text) and not data.isascii():
                assert decode(data, "utf-8")[1] != "utf-8"
                tried += 1
    assert tried > 900


def test_a_false_declaration_of_utf8_changes_nothing(labelled: list[tuple[str, bytes]]) -> None:
    assert all(decode(data, "utf-8") == decode(data) for _, data in labelled)


@given(st.binary(max_size=300), st.one_of(st.text(max_size=12), st.sampled_from(CODECS)))
@settings(deadline=None, max_examples=500)
def test_any_bytes_become_text_that_can_be_stored(data: bytes, declared: str) -> None:
    for page in (data, b'<meta charset="%s">' % declared.encode() + data):
        text, charset = decode(page, declared)
        assert charset
        assert text.encode().decode() == text


NO_ENCODINGS = ["undefined", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf-7"]


@pytest.mark.parametrize("codec", [*NO_ENCODINGS, "rot13", "mbcs", "cp037", "hz", "iso-2022-kr"])
def test_a_codec_that_is_no_encoding_of_the_web_is_as_if_nothing_was_declared(codec: str) -> None:
    page = b'<meta charset="%s"><p>Gr\xfc\xdfe \\u0041 +AGE-</p>'
    other = b"x" * len(codec)
    assert decode(page % codec.encode(), codec)[0] == decode(page % other)[0].replace(
        other.decode(), codec
    )


@pytest.mark.parametrize("label", [" UTF8\n", "Latin1", "x-sjis", "ks_c_5601-1987", "TIS-620"])
def test_labels_are_known_in_any_case(label: str) -> None:
    assert declared_codec(label) == BY_LABEL[label.strip().lower()]


def test_every_label_has_a_codec_that_decodes_any_bytes() -> None:
    assert len(BY_LABEL) == 222
    for codec in {*BY_LABEL.values(), *BEYOND.values()}:
        assert codecs.lookup(codec)._is_text_encoding
        assert bytes(range(256)).decode(codec, "replace")


def test_labelled_legacy_encodings_are_told_apart(labelled: list[tuple[str, bytes]]) -> None:
    right = 0
    for codec, data in labelled:
        truth = data.decode(codec, "replace").lstrip("\ufeff").replace("\ufffd", "")
        got = decode(data)[0].lstrip("\ufeff").replace("\ufffd", "")
        same = sum(a == b for a, b in zip(truth, got, strict=False))
        right += same >= 0.995 * max(len(truth), len(got))
    assert len(labelled) == 224
    assert right >= 221
