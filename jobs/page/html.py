"""From bytes to main text: decoding, main content, language. Pure functions, one page at a time.

Encodings: a byte order mark; else UTF-8 where the bytes are valid UTF-8, since a text in another encoding practically never is (and
headers lie); else what the server or the page declares if the bytes decode by it; else uchardet through resiliparse. Its names are
taken as they are and widened as browsers do (ISO-8859-1 is read as Windows-1252): its own mapping to WHATWG names turns every name
it does not know, EUC-KR's among them, into UTF-8 (179 of 224 labelled files right; this way 221).

Main content: resiliparse's rules without alternative texts of images and without the parts that `BOILERPLATE` names; where almost
nothing is left of a page that has more, its whole visible text. On eight sets of pages with known main content this gains 0.9 to 3.8
points of F1 over resiliparse alone, and loses on none (tests/jobs/page/test_html.py).
"""

import codecs
import hashlib
import re

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding
from resiliparse.parse.html import HTMLParserException, HTMLTree
from resiliparse.parse.lang import detect_fast

BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
OTHER_NAMES = {
    "uhc": "cp949",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "x-euc-jp": "euc_jp",
    "windows-874": "cp874",
    "x-mac-cyrillic": "mac-cyrillic",
    "maccyrillic": "mac-cyrillic",
    "mac-centraleurope": "mac-latin2",
}
META = re.compile(
    rb"""<(?:meta[^>]{0,200}?|\?xml[^>]{0,60}?\sen)c(?:harset|oding)\s*=\s*["']?\s*([A-Za-z0-9._:-]{2,30})""",
    re.IGNORECASE,
)
META_BYTES = 4096
ESCAPES = re.compile(rb"\x1b\$[@B)A]|\x1b\([BJ]")
STRAY_PART = 200
BOILERPLATE = [
    "footer",
    "[role=dialog]",
    "[id*=comment]",
    *(f"[class*={part}]" for part in ("related", "popup", "modal", "byline", "author", "caption")),
    *(f"[class*={part}]" for part in ("copyright", "disclaimer", "newsletter", "subscribe")),
]
SHORT_CHARS = 250
HIDDEN_RATIO = 2
LANGUAGE_CHARS = 2000
WORST_RANK = 1200
SCRIPTS = {
    "zh": re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"),
    "ja": re.compile("[\u3041-\u30ff\uff66-\uff9f]"),
    "ko": re.compile("[\uac00-\ud7a3\u1100-\u11ff]"),
    "th": re.compile("[\u0e01-\u0e4e]"),
}
LETTERS_PER_SIGN = 3
KANA_WEIGHT = 8
REPLACEMENT = "\ufffd"
FALLBACK = "cp1252"


def decode(data: bytes, declared: str = "") -> tuple[str, str]:
    """(text, charset) of a page or text file; `declared` is the charset of the HTTP header. Never fails: bad bytes become U+FFFD."""
    for mark, charset in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(charset, "replace"), charset
    wide = wide_charset(data)
    if wide:
        return data.decode(wide, "replace"), wide
    escaped = ESCAPES.search(data)
    if not escaped:
        try:
            return data.decode(), "utf-8"
        except UnicodeDecodeError:
            text = data.decode("utf-8", "replace")
            if text.count(REPLACEMENT) * STRAY_PART < _letters_beyond_ascii(text):
                return text, "utf-8"
    said = META.search(data[:META_BYTES])
    for name in (declared, said[1].decode("ascii") if said else ""):
        found = _decoded(data, name)
        if found is not None:
            return found, _codec(name)
    charset = _codec(detect_encoding(data, html5_compatible=False) or "") or FALLBACK
    return data.decode(charset, "replace"), charset


def main_content(html: str) -> tuple[str, str]:
    """(title, main text) of a page: paragraphs and list items on lines of their own, blank lines between blocks. Never fails."""
    try:
        tree = HTMLTree.parse(html)
        title = " ".join((tree.title or "").split())
        text = extract_plain_text(
            tree, main_content=True, alt_texts=False, skip_elements=BOILERPLATE
        )
        if len(text) < SHORT_CHARS:
            everything = extract_plain_text(tree, alt_texts=False)
            if len(everything) > HIDDEN_RATIO * len(text):
                text = everything
    except (HTMLParserException, ValueError):
        return "", ""
    return title, text.strip()


def language(text: str) -> tuple[str, float]:
    """(ISO 639-1 code, confidence 0 to 1) of the first 2,000 characters; (`unknown`, 0.0) where nothing fits.

    Chinese, Japanese, Korean and Thai are told by their scripts, one sign counting as three Latin letters: pages in them are full of
    Latin names and code. For the others, confidence falls linearly with resiliparse's rank, from 1 at rank 0 to 0 at 1200, where false
    results begin.
    """
    head = text[:LANGUAGE_CHARS]
    letters = sum(map(str.isalpha, head))
    if not letters:
        return "unknown", 0.0
    by_script = {code: len(letter.findall(head)) for code, letter in SCRIPTS.items()}
    east = sum(by_script.values())
    if east * LETTERS_PER_SIGN >= letters - east:
        code = max(
            by_script, key=lambda name: by_script[name] * (KANA_WEIGHT if name == "ja" else 1)
        )
        return code, round(
            min(1.0, east * LETTERS_PER_SIGN / (letters - east + east * LETTERS_PER_SIGN)), 4
        )
    found, rank = detect_fast(head, cutoff=WORST_RANK)
    return found, 0.0 if found == "unknown" else round(max(0.0, 1.0 - rank / WORST_RANK), 4)


def doc_id(url: str, payload: bytes) -> bytes:
    """16 bytes that name a document: its URL and what was there, never where it was stored or in which order it was read."""
    return hashlib.blake2b(
        url.encode() + b"\0" + hashlib.sha256(payload).digest(), digest_size=16
    ).digest()


def wide_charset(data: bytes) -> str:
    """UTF-16 or UTF-32 without a byte order mark, told by where the zero bytes of its ASCII characters are; else empty."""
    head = data[:4096]
    if head.count(0) * 5 < len(head):
        return ""
    zeros = "".join("01"[head[place::4].count(0) * 8 > len(head)] for place in range(4))
    return {"0111": "utf-32-le", "1110": "utf-32-be", "0101": "utf-16-le", "1010": "utf-16-be"}.get(
        zeros, ""
    )


def _codec(name: str) -> str:
    """Python's codec for an encoding name of the web, widened as browsers do; empty for an unknown one."""
    key = name.strip().lower()
    try:
        codec = codecs.lookup(OTHER_NAMES.get(key, key))
    except (LookupError, ValueError):
        return ""
    return SUPERSETS.get(codec.name, codec.name) if codec._is_text_encoding else ""


def _decoded(data: bytes, name: str) -> str | None:
    """The text if `name` is an encoding by which nearly all bytes decode."""
    codec = _codec(name)
    if not codec or codec.startswith("utf"):
        return None
    text = data.decode(codec, "replace")
    return text if text.count(REPLACEMENT) * STRAY_PART <= _letters_beyond_ascii(text) else None


def _letters_beyond_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))
