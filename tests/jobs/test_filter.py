"""The filter step: the papers' rules as SQL, one reason a row, signals made once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from infra.errors import UsageError
from infra.lake import Artifact, Lake
from infra.lake.rows import read_rows
from infra.step import Task
from jobs import filter
from jobs.filter import FilterParameters
from jobs.spark.session import Session
from jobs.text.signals import SIGNALS
from jobs.text.words import words

PROSE = (
    "The old mill stood at the end of the village, where the river turns south. Nobody knew who had"
    " built it, and those that asked were told a different story every time. Children went there"
    " with their dogs to look for the treasure of a captain. In winter, when ice covered the wheel,"
    " one could hear it groan through the night. People have since taken most of its stones to be"
    " walls."
)
GERMAN = (
    "Die alte Mühle stand am Ende des Dorfes, wo der Fluss nach Süden abbiegt. Niemand wusste, wer"
    " sie gebaut hatte, und jede Frage danach bekam eine andere Antwort. Kinder suchten dort mit"
    " ihren Hunden nach dem Schatz eines Kapitäns. Im Winter, wenn Eis das Rad bedeckte, hörte man"
    " nachts sein Stöhnen. Inzwischen stecken die meisten ihrer Steine in fremden Mauern, sagt man."
)
CHINESE = (
    "今天天气很好，我们去公园散步。他昨天在图书馆里看了一本关于历史的书。"
    "明天大家都要参加会议，所以请准时到达。这座城市的交通非常方便，人们喜欢骑车上班。"
)
THAI = (
    "วันนี้อากาศดีมาก เราจึงไปเดินเล่นที่สวนสาธารณะ เมื่อวานเขาอ่านหนังสือเกี่ยวกับประวัติศาสตร์ในห้องสมุด"
    " พรุ่งนี้ทุกคนต้องเข้าร่วมประชุม กรุณามาให้ตรงเวลา"
)
Make = Callable[..., Artifact]


def task(lake: Lake, documents: Artifact, **parameters: Any) -> Task:
    """The filter step over these documents."""
    return Task(filter.STEP, lake, "test", FilterParameters(**parameters), {"documents": documents})


def rows_of(artifact: Artifact, *columns: str, judged: bool = False) -> list[dict[str, Any]]:
    """The artifact's rows; with `judged` the dropped ones too, and `reject_reason`."""
    return [
        row
        for stack in artifact.stacks()
        for batch in read_rows(artifact.lake_root, stack, columns, judged=judged)
        for row in batch.to_pylist()
    ]


def outcome(done: Task) -> dict[str, str | None]:
    """Reason by URL, None for kept rows."""
    return {r["url"]: r["reject_reason"] for r in rows_of(done.artifact, "url", judged=True)}


def test_default_rules_keep_prose_of_several_languages_and_name_what_is_wrong(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    short = "The text is too short by far, and it has no more to say. It ends here. It is over."
    rows = [
        {"url": "prose", "text": PROSE},
        {"url": "german", "text": GERMAN, "lang": "de"},
        {"url": "chinese", "text": CHINESE, "lang": "zh"},
        {"url": "lorem", "text": PROSE + " Lorem ipsum."},
        {
            "url": "german with a bracket",
            "text": GERMAN.replace("Hunden", "{Hunden}"),
            "lang": "de",
        },
        {"url": "thai", "text": THAI, "lang": "unknown"},
        {"url": "code", "text": PROSE + " {"},
        {"url": "short", "text": short},
        {"url": "repeated", "text": "The same line is here, with words to be long enough.\n" * 30},
    ]
    done = task(lake, documents_artifact(lake, rows, shards=3))
    counts = filter.run(session, done).counts
    assert outcome(done) == {
        "prose": None,
        "german": None,
        "chinese": None,
        "german with a bracket": None,
        "thai": None,
        "lorem": "c4_lorem_ipsum",
        "code": "c4_curly_bracket",
        "short": "gopher_word_count",
        "repeated": "fineweb_char_dup",
    }
    assert (counts.rows_in, counts.rows_out, sum(counts.rejected.values())) == (9, 5, 4)
    kept = (PROSE, GERMAN, CHINESE, GERMAN + "{}", THAI)
    assert counts.extra == {"bytes_text": sum(len(text.encode()) for text in kept)}


def test_kept_rows_carry_their_signals(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    done = task(lake, documents_artifact(lake, [{"text": PROSE}]))
    manifest = filter.run(session, done)
    (row,) = rows_of(done.artifact, "text", "signals")
    assert row["text"] == PROSE
    assert list(row["signals"]) == list(SIGNALS)
    assert row["signals"]["word_count"] == len(words(PROSE))
    names = [column["name"] for column in manifest.schema]
    assert "signals" in names
    assert "reject_reason" not in names


def test_texts_are_not_copied(session: Session, lake: Lake, documents_artifact: Make) -> None:
    documents = documents_artifact(lake, [{"text": PROSE}, {"text": GERMAN}], shards=2)
    done = task(lake, documents)
    manifest = filter.run(session, done)
    given = {entry.path for entry in documents.require().files}
    new = [entry.path for entry in manifest.files if entry.path not in given]
    assert given < {entry.path for entry in manifest.files}
    for path in new:
        assert "text" not in pq.ParquetFile(done.artifact.at_root(path)).schema_arrow.names


def test_a_changed_threshold_makes_no_signal_again(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(lake, [{"text": PROSE}, {"text": "two words"}], shards=2)
    folder = Path(lake.root, "shards", "signals")
    first = task(lake, documents, rules={"long": "word_count > 20"})
    filter.run(session, first)
    before = {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    second = task(lake, documents, rules={"long": "word_count > 1"})
    filter.run(session, second)
    assert {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == before
    assert len(before) == 4  # of each shard the file and its note
    assert (len(rows_of(first.artifact)), len(rows_of(second.artifact))) == (1, 2)


def test_the_decision_is_an_expression_and_null_fails_it(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(
        lake, [{"url": "a", "text": "one two"}, {"url": "b", "text": "one", "lang": None}]
    )
    done = task(lake, documents, rules={"two": "word_count > 1", "known": "lang = 'en'"})
    filter.run(session, done)
    assert outcome(done) == {"a": None, "b": "known"}


def test_languages_are_looked_at_first(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    documents = documents_artifact(
        lake, [{"url": "a", "text": "x"}, {"url": "b", "text": "y", "lang": "de"}]
    )
    done = task(lake, documents, rules={"a": "n_chars > 9"}, languages=["de"])
    filter.run(session, done)
    assert outcome(done) == {"a": "language", "b": "a"}


def test_without_rules_all_documents_stay(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    done = task(lake, documents_artifact(lake, [{"text": "x"}, {"text": "y"}]), rules={})
    counts = filter.run(session, done).counts
    assert (counts.rows_in, counts.rows_out, counts.rejected) == (2, 2, {})


def test_a_second_filter_sees_what_the_first_one_kept(
    session: Session, lake: Lake, documents_artifact: Make
) -> None:
    rows = [{"url": str(n), "text": " ".join(["word"] * n)} for n in range(1, 6)]
    first = task(lake, documents_artifact(lake, rows), rules={"a": "word_count > 1"})
    filter.run(session, first)
    second = task(lake, first.artifact, rules={"b": "word_count < 5"})
    counts = filter.run(session, second).counts
    assert outcome(second) == {"2": None, "3": None, "4": None, "5": "b"}
    assert (counts.rows_in, counts.rows_out, counts.rejected) == (4, 3, {"b": 1})


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "words_count > 3",
            r"filter.rules.mine: unknown column 'words_count'; nearest: 'word_count'",
        ),
        ("n_wrds > 5", r"filter.rules.mine: unknown column 'n_wrds'; nearest: 'n_words'"),
        ("detail IS NULL", r"filter.rules.mine: unknown column 'detail'"),
        ("word_count >", r"filter.rules.mine: 'word_count >' is no SQL expression"),
        ("word_count", r"'word_count' is a bigint; a rule must be true or false"),
    ],
)
def test_a_wrong_rule_is_refused_with_the_parameters_before_anything_runs(
    rule: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        FilterParameters(rules={"mine": rule})
