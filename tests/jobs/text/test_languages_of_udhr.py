"""The Universal Declaration of Human Rights in 388 texts (nltk's udhr2): clean text of some 350
languages, none of which may be lost to a default rule.

A text passes under the language that it is told to be, under its own, and as `unknown`.
"""

import pyarrow as pa
import pytest

from jobs.filter import default_rules
from jobs.text import rules
from jobs.text.language import UNKNOWN, language
from jobs.text.signals import SIGNALS, signals, signals_of

Texts = dict[str, str]
EXCEPTIONS = {
    "nku": "the file is empty",
    **dict.fromkeys(
        ("chr", "dzo", "khk_mong", "pbu", "taj", "tgl_tglg", "tzm_tfng"),
        "the first article alone, less than 50 words: gopher_word_count",
    ),
}
OWN_CODES = (
    "abk:ab afr:af aka:ak als:sq amh:am arb:ar aym:ay azj:az bam:bm bel:be ben:bn bis:bi bod:bo"
    " bos:bs bre:br bul:bg cat:ca ces:cs cha:ch cmn:zh cos:co cym:cy dan:da deu:de div:dv dzo:dz"
    " ell:el eng:en epo:eo est:et eus:eu ewe:ee fao:fo fij:fj fin:fi fra:fr fri:fy gla:gd gle:ga"
    " glg:gl gug:gn guj:gu hat:ht hau:ha heb:he hin:hi hrv:hr hun:hu hye:hy ibo:ig ido:io iii:ii"
    " ike:iu ina:ia ind:id isl:is ita:it jav:jv jpn:ja kal:kl kan:kn kat:ka kaz:kk khk:mn khm:km"
    " kin:rw kir:ky kor:ko lao:lo lat:la lav:lv lin:ln lit:lt ltz:lb lug:lg mah:mh mal:ml mar:mr"
    " mkd:mk mlt:mt mri:mi mya:my nav:nv nbl:nr ndo:ng nep:ne nld:nl nno:nn nob:no nya:ny oss:os"
    " pan:pa pbu:ps pes:fa plt:mg pol:pl por:pt quz:qu roh:rm ron:ro run:rn rus:ru sag:sg san:sa"
    " slk:sk slv:sl sme:se smo:sm sna:sn som:so sot:st spa:es srp:sr ssw:ss sun:su swe:sv swh:sw"
    " tah:ty tam:ta tat:tt tgk:tg tgl:tl tha:th tir:ti ton:to tsn:tn tso:ts tuk:tk tur:tr uig:ug"
    " ukr:uk urd:ur uzn:uz ven:ve vie:vi wln:wa wol:wo xho:xh ydd:yi yor:yo zul:zu"
)
"""ISO 639-3, by which the files are named: ISO 639-1."""
ISO_639_1 = dict(pair.split(":") for pair in OWN_CODES.split())


def own_code(name: str) -> str:
    """The ISO 639-1 code of a file's language, `unknown` where it has none."""
    return ISO_639_1.get(name.partition("_")[0], UNKNOWN)


@pytest.mark.parametrize("told", ["detected", "own", "unknown"])
def test_no_language_loses_its_text_to_a_default_rule(texts: Texts, told: str) -> None:
    codes = {
        "detected": [language(text)[0] for text in texts.values()],
        "own": list(map(own_code, texts)),
        "unknown": [UNKNOWN] * len(texts),
    }[told]
    columns = [pa.array(codes), *signals_of(list(texts.values())).flatten()]
    rows = pa.table(columns, names=["lang", *SIGNALS])
    reasons = rules.reasons(rows, default_rules(), []).to_pylist()
    lost = {name: reason for name, reason in zip(texts, reasons, strict=True) if reason}
    assert len(texts) == 388
    assert lost.keys() == EXCEPTIONS.keys(), lost


def test_the_exceptions_are_no_texts_of_fifty_words(texts: Texts) -> None:
    assert all(signals(texts[name])["word_count"] < 50 for name in EXCEPTIONS)


def test_languages_are_told_apart(texts: Texts) -> None:
    known = {name: own_code(name) for name in texts if own_code(name) != UNKNOWN}
    found = {name: language(texts[name])[0] for name in known}
    right = sum(found[name] == code for name, code in known.items())
    assert (right, len(known)) == (144, 162)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *(("amh", "am"), ("tir", "ti"), ("mya", "my"), ("khm", "km"), ("lao", "lo"), ("tha", "th")),
        *(("bod", "bo"), ("hin", "hi"), ("mar", "mr"), ("nep", "ne"), ("ben", "bn"), ("pan", "pa")),
        *(
            ("guj", "gu"),
            ("tam", "ta"),
            ("kan", "kn"),
            ("mal", "ml"),
            ("urd", "ur"),
            ("pes_1", "fa"),
        ),
        *(("hye", "hy"), ("kat", "ka"), ("heb", "he"), ("ell_monotonic", "el"), ("arb", "ar")),
        *(("cmn_hans", "zh"), ("cmn_hant", "zh"), ("jpn", "ja"), ("kor", "ko"), ("ike", "iu")),
    ],
)
def test_a_language_with_a_script_of_its_own_is_never_another(
    texts: Texts, name: str, code: str
) -> None:
    assert language(texts[name])[0] == code


def test_what_is_not_known_is_not_called_english_or_chinese(texts: Texts) -> None:
    related = {"eng", "pcm", "sco", "cmn_hans", "cmn_hant"}
    called = {name for name, text in texts.items() if language(text)[0] in ("en", "zh")}
    assert called == related
