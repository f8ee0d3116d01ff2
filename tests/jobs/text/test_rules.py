"""Rules: what may be asked of a row, and what is answered."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import GristmillError, UsageError
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
        "list_contains(string_split(url, '/'), 'a') AND string_split(url, '/')[1] = 'https:'",
        "CASE lang WHEN 'de' THEN word_count > 9 ELSE n_chars / n_words BETWEEN 3 AND 10 END",
        "lang IN ('de', 'en') AND lang IS DISTINCT FROM 'fr' AND title NOT ILIKE '%x%' ESCAPE '!'",
        "TRY_CAST(split_part(url, '/', 4) AS INT) IS NULL OR fetched_at::date > '2026-01-01'",
        "fetched_at - INTERVAL 3 DAYS < '2026-01-31' AND extract(year FROM fetched_at) = 2026",
        "true /* until we know better */",
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
    ("rule", "message"),
    [
        ("word_count >", "'word_count >' is no SQL expression"),
        ("word_count", "'word_count' is a bigint; a rule must be true or false"),
        ("word_count + 1", "'word_count \\+ 1' is a bigint; a rule must be true or false"),
        ("text > 3", "Cannot compare values of type VARCHAR"),
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


def test_a_value_that_does_not_fit_is_one_line_with_the_way_around_it() -> None:
    with pytest.raises(
        GristmillError, match=r"^filter\.rules: .*'https://a.org/x'.*; TRY_CAST gives .*$"
    ):
        reasons(ROWS, {"r": "CAST(url AS INT) > 3"}, [])


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
