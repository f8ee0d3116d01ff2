"""Decoding, main content, language: measured on labelled files, and what holds for any input."""

import importlib.util
import json
import re
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.crawl import records
from jobs.page.html import decode, doc_id, language, main_content

RESILIPARSE_ALONE = {
    "cleanportaleval": 0.812,
    "fundus": 0.901,
    "newspaper": 0.693,
    "newspaper4k": 0.831,
    "readability": 0.958,
    "scrapinghub": 0.903,
    "trafilatura": 0.842,
    "wcxb": 0.802,
    "cjk": 0.845,
}
PYTHON_NAMES = {"MacCyrillic": "mac-cyrillic", "MacRoman": "mac-roman"}
NO_CODEC = {"EUC-TW"}


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


@given(st.binary(max_size=300), st.text(max_size=12))
@settings(deadline=None)
def test_any_bytes_decode_and_give_some_main_content(data: bytes, declared: str) -> None:
    text, charset = decode(data, declared)
    assert charset
    text.encode()
    title, content = main_content(text)
    (title + content).encode()
    lang, score = language(content)
    assert lang and 0.0 <= score <= 1.0


def test_labelled_legacy_encodings_are_told_apart(shared: Path) -> None:
    right = total = 0
    with tarfile.open(next((shared / "data" / "enc").glob("*.tar.xz"))) as archive:
        for member in archive:
            folder = Path(member.name).parent.name
            if not member.isfile() or folder in (*NO_CODEC, "chardet"):
                continue
            data = archive.extractfile(member).read()  # type: ignore[union-attr]
            truth = data.decode(codec_of(folder), "replace").lstrip("\ufeff").replace("\ufffd", "")
            got = decode(data)[0].lstrip("\ufeff").replace("\ufffd", "")
            total += 1
            same = sum(a == b for a, b in zip(truth, got, strict=False))
            right += same >= 0.995 * max(len(truth), len(got))
    assert total == 224
    assert right >= 221


def test_boilerplate_goes_and_the_article_stays() -> None:
    article = "".join(
        f"<p>Sentence {n} of the article says something worth reading, at some length.</p>"
        for n in range(9)
    )
    body = f"<nav><a href=/>Home</a></nav><article>{article}</article><footer>© Us</footer>"
    title, text = main_content(
        f"<html><head><title> A\n title </title></head><body>{body}</body></html>"
    )
    assert title == "A title"
    assert "Sentence 8" in text and "Home" not in text and "©" not in text


def test_a_page_of_which_almost_nothing_would_be_left_keeps_its_whole_text() -> None:
    items = "".join(
        f"<div class='comment'>Answer {n} is given here in full sentences.</div>" for n in range(20)
    )
    assert (
        "Answer 19" in main_content(f"<html><body><div id=comments>{items}</div></body></html>")[1]
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("这是一个简单的测试，看看语言检测是否正确。", "zh"),
        ("これは日本語の文章です。Pythonの使い方を説明します。", "ja"),
        ("이것은 한국어 문장입니다.", "ko"),
        ("นี่คือข้อความภาษาไทย", "th"),
        (
            "The quick brown fox jumps over the lazy dog, and then it goes home to sleep until the morning comes. "
            * 3,
            "en",
        ),
        (
            "Der schnelle braune Fuchs springt über den faulen Hund, und dann geht er nach Hause, um zu schlafen. "
            * 3,
            "de",
        ),
        ("12345 67890 !!", "unknown"),
        ("", "unknown"),
    ],
)
def test_languages_are_recognised(text: str, code: str) -> None:
    assert language(text)[0] == code


def test_a_document_is_named_by_address_and_content_alone() -> None:
    assert len(doc_id("https://a", b"x")) == 16
    assert (
        len({doc_id("https://a", b"x"), doc_id("https://a", b"y"), doc_id("https://b", b"x")}) == 3
    )


def test_main_content_scores_above_resiliparse_alone_on_every_set(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location(
        "score_extraction", shared / "accept" / "score_extraction.py"
    )
    assert spec and spec.loader
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    documents = tmp_path / "documents.jsonl"
    with documents.open("w") as out:
        for crawl in sorted((shared / "data" / "crawl").glob("w*.warc.gz")):
            for record in records(str(crawl)):
                if record.reason is None:
                    text = main_content(decode(record.payload, record.charset)[0])[1]
                    out.write(json.dumps({"url": record.url, "text": text}) + "\n")
    minima = [f"{name}={least}" for name, least in RESILIPARSE_ALONE.items()]
    monkeypatch.setattr(
        sys, "argv", ["score", str(documents), str(shared / "data" / "gold"), "--min-f1", *minima]
    )
    assert scorer.main() == 0
