"""The filter step: the papers' rules as SQL, one reason a row, wrong rules refused before anything is written."""

from collections.abc import Callable
from typing import Any

import pytest

from infra import storage
from infra.errors import UsageError
from infra.lake import Artifact, Lake
from infra.step import Task
from jobs import filter
from jobs.filter import FilterParameters
from jobs.spark.session import Session
from jobs.text.signals import SIGNALS, words

PROSE = (
    "The old mill stood at the end of the village, where the river turns south. Nobody knew who had built it, and those that asked "
    "were told a different story every time. Children went there with their dogs to look for the treasure of a captain. In winter, "
    "when ice covered the wheel, one could hear it groan through the night. People have since taken most of its stones to be walls."
)
GERMAN = (
    "Die alte Mühle stand am Ende des Dorfes, wo der Fluss nach Süden abbiegt. Niemand wusste, wer sie gebaut hatte, und jede Frage "
    "danach bekam eine andere Antwort. Kinder suchten dort mit ihren Hunden nach dem Schatz eines Kapitäns. Im Winter, wenn Eis das "
    "Rad bedeckte, hörte man nachts sein Stöhnen. Inzwischen stecken die meisten ihrer Steine in fremden Mauern, sagt man."
)
CHINESE = (
    "今天天气很好，我们去公园散步。他昨天在图书馆里看了一本关于历史的书。"
    "明天大家都要参加会议，所以请准时到达。这座城市的交通非常方便，人们喜欢骑车上班。"
)
Make = Callable[[Lake, list[dict[str, Any]]], Artifact]


def task(lake: Lake, documents: Artifact, **parameters: Any) -> Task:
    """The filter step over these documents."""
    return Task(filter.STEP, lake, "test", FilterParameters(**parameters), {"documents": documents})


def outcome(session: Session, done: Task) -> dict[str, str | None]:
    """Reason by URL, None for kept rows."""
    kept = {row["url"]: None for row in session.read(done.artifact, "url").collect()}
    uris = done.artifact.rejected_uris()
    return kept | {
        row["url"]: row["reject_reason"]
        for row in session.parquet(*uris).select("url", "reject_reason").collect()
    }


def test_default_rules_keep_prose_of_several_languages_and_name_what_is_wrong(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    rows = [
        {"url": "prose", "text": PROSE, "lang": "en"},
        {"url": "german", "text": GERMAN, "lang": "de"},
        {"url": "chinese", "text": CHINESE, "lang": "zh"},
        {"url": "lorem", "text": PROSE + " Lorem ipsum.", "lang": "en"},
        {"url": "code", "text": PROSE + " {", "lang": "en"},
        {
            "url": "short",
            "text": "The text is too short by far, and it has no more to say. It ends here. It is over.",
            "lang": "en",
        },
        {
            "url": "repeated",
            "text": "The same line is here and it has words to be long enough.\n" * 30,
            "lang": "en",
        },
    ]
    done = task(lake, documents_artifact(lake, rows))
    manifest = filter.run(session, done)
    got = outcome(session, done)
    assert {url for url, reason in got.items() if reason is None} == {"prose", "german", "chinese"}
    assert (got["lorem"], got["code"], got["short"]) == (
        "c4_lorem_ipsum",
        "c4_curly_bracket",
        "gopher_word_count",
    )
    assert got["repeated"] == "fineweb_char_dup"
    assert (manifest.counts.rows_in, manifest.counts.rows_out) == (7, 3)


def test_kept_rows_carry_their_signals(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    done = task(lake, documents_artifact(lake, [{"text": PROSE, "lang": "en"}]))
    filter.run(session, done)
    row = session.read(done.artifact).collect()[0]
    assert list(row["signals"].asDict()) == list(SIGNALS)
    assert row["signals"]["word_count"] == len(words(PROSE))


def test_the_decision_is_an_expression_and_null_fails_it(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(
        lake,
        [{"url": "a", "text": "one two", "lang": "en"}, {"url": "b", "text": "one", "lang": None}],
    )
    done = task(lake, documents, rules={"two": "word_count > 1", "known": "lang = 'en'"})
    filter.run(session, done)
    assert outcome(session, done) == {"a": None, "b": "known"}


@pytest.mark.parametrize(
    "rule", ["n_wrds > 5", "lang = 'en' OR Word_Coun > 3", "length(tex) > 3", "NOT (domian = 'a')"]
)
def test_a_misspelt_column_is_refused_without_spark(rule: str) -> None:
    with pytest.raises(
        UsageError,
        match=r"filter\.rules\.mine: unknown column '(n_wrds|Word_Coun|tex|domian)'; nearest: '\w+'",
    ):
        filter.FilterParameters(rules={"mine": rule})


@pytest.mark.parametrize(
    "rule",
    [
        *filter.default_rules().values(),
        "WORD_COUNT > 3",
        "text LIKE '%n_wrds%'",
        "dup.sizes > 1",
        "exists(split(url, '/'), x -> x = 'a')",
    ],
)
def test_a_rule_without_a_misspelt_column_is_left_to_spark(rule: str) -> None:
    assert filter.misspelt(rule) is None


def test_languages_are_looked_at_first(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(
        lake, [{"url": "a", "text": "x", "lang": "en"}, {"url": "b", "text": "y", "lang": "de"}]
    )
    done = task(lake, documents, rules={"a": "n_chars < 9"}, languages=["de"])
    filter.run(session, done)
    assert outcome(session, done) == {"a": "language", "b": None}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("counted > 3", r"filter.rules.mine: unknown column 'counted'; nearest: 'word_count'"),
        ("word_count >", r"filter.rules.mine: 'word_count >' is no SQL expression"),
        (
            "word_count",
            r"filter.rules.mine: 'word_count' is a bigint; a rule must be true or false",
        ),
        ("lenght(text) > 3", r"filter.rules.mine: .*lenght"),
    ],
)
def test_a_wrong_rule_is_refused_before_anything_is_written(
    session: Session, lake: Lake, documents_artifact: Make, rule: str, message: str
) -> None:
    wanted = task(
        lake, documents_artifact(lake, [{"text": PROSE, "lang": "en"}]), rules={"mine": rule}
    )
    with pytest.raises(UsageError, match=message):
        filter.run(session, wanted)
    assert storage.list_files(wanted.artifact.uri) == []
