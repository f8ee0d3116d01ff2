"""Rules: what may be asked of a row, and what is answered."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import UsageError
from jobs.filter import KNOWN, default_rules
from jobs.text.rules import check, columns_in, reasons

ROWS = pa.table(
    {
        "lang": ["en", "de", None],
        "n_words": [5, 50, 500],
        "url": ["https://a.org/x", "it's here", None],
        "fetched_at": pa.array([datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]),
    }
)


@pytest.mark.parametrize(
    "rule",
    [
        *default_rules().values(),
        "WORD_COUNT > 3",
        "text LIKE '%n_wrds%'",
        "true",
        "fetched_at >= '2026-01-31'",
        "regexp_matches(text, '^[A-Z]') OR title IS NOT NULL",
        "list_contains(list_transform(string_split(url, '/'), lambda part: part = 'a'), true)",
    ],
)
def test_what_speaks_of_one_row_is_a_rule(rule: str) -> None:
    check({"mine": rule}, KNOWN)


@pytest.mark.parametrize(
    ("rule", "nearest"),
    [
        ("n_wrds > 5", "n_words"),
        ("lang = 'en' OR Word_Coun > 3", "word_count"),
        ("length(tex) > 3", "text"),
        ("NOT (domian = 'a')", "domain"),
    ],
)
def test_a_misspelt_column_is_named_with_the_nearest_one(rule: str, nearest: str) -> None:
    message = rf"filter\.rules\.mine: unknown column '\w+'; nearest: '{nearest}'$"
    with pytest.raises(UsageError, match=message):
        check({"mine": rule}, KNOWN)


@pytest.mark.parametrize(
    "rule",
    [
        "text IN (SELECT * FROM read_csv('/etc/passwd'))",
        "EXISTS (FROM read_text('/etc/passwd'))",
        "(SELECT count(*) FROM '/etc/passwd') > 1",
        "text = read_text('/etc/passwd')",
        "text = getenv('HOME')",
        "true); COPY rows TO '/tmp/rules-rows.csv'; SELECT (true",
        "true); ATTACH '/tmp/rules.db'; SELECT (true",
        "true); SELECT (true",
        "true) FROM read_csv('/etc/passwd') --",
        "true) AS x FROM rows WHERE (true",
        "COPY rows TO '/tmp/rules-rows.csv'",
        "ATTACH '/tmp/rules.db'",
        "INSTALL httpfs",
        "true -- the end",
        "true;",
        "word_count > 3, true",
        "*",
        "",
    ],
)
def test_a_rule_can_only_compute(rule: str) -> None:
    with pytest.raises(UsageError, match=r"^filter\.rules\.mine: \S.*$"):
        check({"mine": rule}, KNOWN)


@pytest.mark.parametrize(
    "rule",
    [
        "count(*) > 3",
        "word_count > avg(word_count)",
        "row_number() OVER () < 100",
        "text IN (SELECT title FROM rows)",
        "unnest([true, false])",
    ],
)
def test_a_rule_sees_its_row_alone(rule: str) -> None:
    with pytest.raises(UsageError, match="looks at more than one row"):
        check({"mine": rule}, KNOWN)


@pytest.mark.parametrize(
    "rule",
    ["random() < 0.5", "fetched_at < now()", "current_date > '2026-01-01'", "uuid() = url"],
)
def test_a_rule_gives_a_row_the_same_answer_every_time(rule: str) -> None:
    with pytest.raises(UsageError, match="depends on chance, the clock or settings"):
        check({"mine": rule}, KNOWN)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("word_count >", "'word_count >' is no SQL expression"),
        ("word_count", "'word_count' is a bigint; a rule must be true or false"),
        ("lenght(text) > 3", 'lenght does not exist! Did you mean "length"'),
    ],
)
def test_a_rule_that_is_none_is_named(rule: str, message: str) -> None:
    with pytest.raises(UsageError, match=rf"filter\.rules\.mine: .*{message}"):
        check({"also": "true", "mine": rule}, KNOWN)


def test_the_first_rule_that_fails_is_the_reason() -> None:
    named = {"b": "n_words > 10", "a": "url LIKE 'https://%' OR n_words > 10"}
    assert reasons(ROWS, named, []).to_pylist() == ["b", None, None]
    assert reasons(ROWS, {**named, "a": "false"}, []).to_pylist() == ["a"] * 3


def test_null_fails_a_rule() -> None:
    assert reasons(ROWS, {"r": "lang != 'de'"}, []).to_pylist() == [None, "r", "r"]


def test_languages_come_before_all_rules_and_unknown_ones_are_dropped() -> None:
    found = reasons(ROWS, {"a": "false"}, ["de", "fr"]).to_pylist()
    assert found == ["language", "a", "language"]


def test_without_rules_and_languages_no_row_has_a_reason() -> None:
    assert reasons(ROWS, {}, []).to_pylist() == [None] * 3
    assert reasons(ROWS.slice(0, 0), {"a": "false"}, ["de"]).to_pylist() == []


def test_times_are_compared_as_they_are_in_utc() -> None:
    rule = {"new": "fetched_at >= '2026-01-02 00:00:00'"}
    assert reasons(ROWS, rule, []).to_pylist() == ["new", None, None]


def test_quotes_in_a_name_stay_what_they_are() -> None:
    assert reasons(ROWS, {"it's": "false"}, []).to_pylist() == ["it's"] * 3


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), max_size=40), st.integers(0, 20))
def test_each_row_is_decided_by_itself(values: list[int], bound: int) -> None:
    rows = pa.table({"n_words": pa.array(values, pa.int64())})
    found = reasons(rows, {"few": f"n_words >= {bound}"}, [])
    assert found.to_pylist() == ["few" if value < bound else None for value in values]


def test_the_columns_of_a_rule_are_the_known_words_in_it() -> None:
    rules = {"a": "Lang = 'en' AND n_words > 3", "b": "length(text) > n_bytes_x"}
    assert columns_in(rules, ["text", "lang", "n_bytes", "n_words"]) == ["text", "lang", "n_words"]
