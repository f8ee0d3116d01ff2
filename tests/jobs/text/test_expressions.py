"""The language of rules: what it refuses, in one line, and that what it lists only computes."""

import re
from pathlib import Path

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import UsageError
from jobs.filter import KNOWN
from jobs.text.expressions import FUNCTIONS, OPERATORS, TYPES
from jobs.text.rules import check

ROOT = Path(__file__).parents[3]
CALLED = sorted(name for names in FUNCTIONS.values() for name in names)


def said_of(rule: str) -> str:
    """The one line about a rule that is refused."""
    with pytest.raises(UsageError, match=r"^filter\.rules\.mine: \S.*$") as raised:
        check({"mine": rule}, KNOWN)
    assert "\n" not in str(raised.value)
    return str(raised.value).removeprefix("filter.rules.mine: ")


@pytest.mark.parametrize(
    "rule",
    [
        "text = read_text('/etc/passwd')",
        "text = getenv('HOME')",
        "current_setting('threads') = '1'",
        "query('SELECT true')",
        "query_table('rows') IS NULL",
        "nextval('s') > 1",
        "version() > 'v1'",
        "current_database() = 'memory'",
        "txid_current() > 1",
        "random() < 0.5",
        "uuid() = url",
        "fetched_at < now()",
        "get_current_time() IS NULL",
        "repeat(text, 1000000) = 'x'",
        "replace(text, 'a', 'aaaaaaaaaa') = 'x'",
        "list_transform([true], lambda x: x)[1]",
        "[x for x in [true] if x][1]",
        "json_extract(text, '$.a') IS NULL",
        "struct_pack(a := 1) IS NULL",
        "lenght(text) > 3",
    ],
)
def test_a_function_that_is_not_listed_is_refused(rule: str) -> None:
    assert re.match(
        r"a rule has no function '\w+'(; nearest: '\w+')? \(docs/rules.md\)", said_of(rule)
    )


def test_the_nearest_function_is_named() -> None:
    assert said_of("lenght(text) > 3") == (
        "a rule has no function 'lenght'; nearest: 'length' (docs/rules.md)"
    )


@pytest.mark.parametrize(
    "rule",
    ["current_date > '2026-01-01'", "current_user = 'x'", "localtime IS NULL", "rowid > 3"],
)
def test_a_word_of_the_clock_or_the_database_is_no_column(rule: str) -> None:
    assert said_of(rule).startswith("unknown column '")


@pytest.mark.parametrize(
    "rule",
    [
        "count(*) > 3",
        "word_count > avg(word_count)",
        "word_count > max(word_count) FILTER (WHERE true)",
        "row_number() OVER () < 100",
        "sum(n_chars) OVER (PARTITION BY lang) > 3",
        "text IN (SELECT title FROM rows)",
        "text IN (SELECT * FROM read_csv('/etc/passwd'))",
        "EXISTS (FROM read_text('/etc/passwd'))",
        "(SELECT count(*) FROM '/etc/passwd') > 1",
        "word_count > ALL (SELECT 1)",
        "unnest([true, false])",
    ],
)
def test_a_rule_sees_its_row_alone(rule: str) -> None:
    assert said_of(rule).endswith(
        "looks at more than one row; a rule decides on each row by itself"
    )


@pytest.mark.parametrize(
    "rule",
    [
        "true); COPY rows TO '/tmp/rules-rows.csv'; SELECT (true",
        "true); ATTACH '/tmp/rules.db'; SELECT (true",
        "true); SELECT (true",
        "true) FROM read_csv('/etc/passwd') --",
        "true) AS x FROM rows WHERE (true",
        "true FROM rows WHERE true",
        "true ORDER BY text",
        "true LIMIT 1",
        "true UNION ALL SELECT true",
        "true) OR (1 = 1",
        "true), (true",
        "DISTINCT true",
        "COPY rows TO '/tmp/rules-rows.csv'",
        "INSTALL httpfs",
        "true -- the end",
        "true /* the end",
        "'the end",
        "true;",
        "true AS word",
        "word_count > 3, true",
        "word_count >",
        "?",
        "$1",
        "$name",
        "",
        " ",
    ],
)
def test_a_rule_is_one_expression_wherever_it_stands(rule: str) -> None:
    assert re.search(r"is (no SQL expression|not one SQL expression)$", said_of(rule))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("*", "a rule has no star"),
        ("COLUMNS('l.*') = 'x'", "a rule has no star"),
        ("#1 = 'x'", "a rule has no positional reference"),
        ("DEFAULT", "a rule has no default"),
        ("text COLLATE nocase = 'a'", "a rule has no collate"),
        ("TRY(word_count > 3)", "a rule has no operator try"),
        ("fetched_at::timestamptz > '2026-01-01'", "a rule casts to no 'timestamptz'"),
        ("text::mine = 'x'", "a rule casts to no 'mine'"),
        ("text::json IS NULL", "a rule casts to no 'json'"),
        ("lower(DISTINCT text) = 'x'", "a rule gives 'lower' its arguments alone"),
        ("main.lower(text) = 'x'", "a rule gives 'lower' its arguments alone"),
    ],
)
def test_a_part_that_is_not_listed_is_refused(rule: str, message: str) -> None:
    assert said_of(rule).startswith(message)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("(", ")"), ("NOT ", ""), ("lower(", ")"), ("CASE WHEN true THEN ", " END"), ("[", "]")],
)
@pytest.mark.parametrize("depth", [500, 100_000])
def test_a_rule_of_any_depth_is_decided_in_one_line(opening: str, closing: str, depth: int) -> None:
    rule = opening * depth + "true" + closing * depth
    try:
        check({"mine": rule}, KNOWN)
    except UsageError as error:
        assert "\n" not in str(error) and len(str(error)) < 500
    else:
        assert depth == 500


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_one_line(rule: str) -> None:
    try:
        check({"mine": rule}, KNOWN)
    except UsageError as error:
        assert "\n" not in str(error)


def test_what_is_listed_depends_on_its_arguments_alone() -> None:
    """By DuckDB's own account of its functions, of those whose arguments a rule can make."""
    found = duckdb.execute(
        "SELECT function_name, function_type, stability, parameter_types, return_type"
        " FROM duckdb_functions()"
    ).fetchall()
    zoned = ("WITH TIME ZONE", "TIMESTAMPTZ", "TIMETZ")
    for name, kind, stability, given_types, returned in found:
        if name not in {*CALLED, *OPERATORS}:
            continue
        types = [*map(str, given_types or []), str(returned)]
        if not any(zone in each for each in types for zone in zoned):
            assert kind in ("scalar", "macro"), name
            assert stability in ("CONSISTENT", None), (name, stability, types)


def test_the_documentation_lists_what_passes() -> None:
    page = (ROOT / "docs" / "rules.md").read_text()
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("|")}
    for kind, names in FUNCTIONS.items():
        assert re.findall(r"`(\w+)`", rows[kind]) == sorted(names)
    for name in TYPES:
        assert name in page


def test_the_rules_in_the_documentation_are_rules() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "rules.md").read_text(), re.S)
    check(yaml.safe_load(example)["filter"]["rules"], KNOWN)
