"""The language of rules: which SQL expressions may be evaluated at all. Everything else is refused.

In: a rule's text and the columns that it may name. Out: what is wrong with it, in words, or
nothing. DuckDB's own parser makes the tree, this module walks it: of a node whose kind, function or
type is not listed here nothing is known, so it does not pass. What is listed computes from its
arguments alone: it opens no file and asks no setting, clock, catalog or chance, and its result is
not much longer than what it was given. `docs/rules.md` shows the lists.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from infra.errors import nearest

Node = dict[str, Any]

NODES = {
    "CONSTANT": {"VALUE_CONSTANT"},
    "COLUMN_REF": {"COLUMN_REF"},
    "COMPARISON": {
        *("COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_LESSTHAN", "COMPARE_GREATERTHAN"),
        *("COMPARE_LESSTHANOREQUALTO", "COMPARE_GREATERTHANOREQUALTO"),
        *("COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM"),
    },
    "CONJUNCTION": {"CONJUNCTION_AND", "CONJUNCTION_OR"},
    "OPERATOR": {
        *("OPERATOR_NOT", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL", "OPERATOR_COALESCE"),
        *("COMPARE_IN", "COMPARE_NOT_IN", "ARRAY_EXTRACT"),
    },
    "BETWEEN": {"COMPARE_BETWEEN", "COMPARE_NOT_BETWEEN"},
    "CASE": {"CASE_EXPR"},
    "CAST": {"OPERATOR_CAST"},
    "TYPE": {"TYPE"},
    "FUNCTION": {"FUNCTION"},
}
"""Class of a node in DuckDB's tree -> its types."""

OPERATORS = {
    *("+", "-", "*", "/", "//", "%", "^", "**", "@", "||", "&", "|", "<<", ">>"),
    *("~~", "!~~", "~~*", "!~~*", "~~~", "like_escape", "not_like_escape", "ilike_escape"),
    "not_ilike_escape",
}
"""How DuckDB calls arithmetic, `||`, LIKE, ILIKE and GLOB."""

FUNCTIONS = {
    "numbers": (
        *("abs", "ceil", "exp", "floor", "greatest", "isfinite", "isnan", "least", "ln", "log10"),
        *("log2", "mod", "pow", "round", "sign", "sqrt", "trunc"),
    ),
    "texts": (
        *("concat", "contains", "ends_with", "instr", "left", "length", "lower", "ltrim"),
        *("position", "prefix", "regexp_extract", "regexp_extract_all", "regexp_full_match"),
        *("regexp_matches", "reverse", "right", "rtrim", "split_part", "starts_with", "strlen"),
        *("string_split", "substring", "suffix", "translate", "trim", "upper"),
    ),
    "lists": (
        *("len", "list_contains", "list_extract", "list_has_all", "list_has_any"),
        *("list_position", "list_value"),
    ),
    "times": (
        *("date_diff", "date_part", "date_trunc", "epoch", "hour", "day", "month", "year"),
        *("to_days", "to_hours", "to_minutes", "to_months", "to_seconds", "to_weeks", "to_years"),
    ),
    "nulls and choices": ("coalesce", "if", "ifnull", "nullif"),
}
"""What a rule may call, by what it is about."""

TYPES = {
    *("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"),
    *("VARCHAR", "DATE", "TIME", "TIMESTAMP", "INTERVAL"),
}
"""What a value may be cast to; none has a zone, a collation or a type of the user's."""

_CALLED = {name for names in FUNCTIONS.values() for name in names}
_SYNONYMS = {
    **{"BOOL": "BOOLEAN", "INT": "INTEGER", "TEXT": "VARCHAR", "STRING": "VARCHAR"},
    **{"REAL": "FLOAT", "INT8": "BIGINT", "FLOAT8": "DOUBLE"},
}
_EXTRA = ("schema", "catalog", "filter", "distinct", "export_state")
"""What a call may not have: a function of somebody's schema, FILTER, DISTINCT."""


def why_not(rule: str, database: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> str:
    """Why the rule is no expression over these columns that may be evaluated; empty for nothing."""
    try:
        shell, (tree, *more) = _parsed(rule, database)
        # The same where it stands alone and between parentheses: as it is put into a query.
        alone = shell == _parsed("true", database)[0] and not more
        if not alone or _parsed(f"({rule})", database) != (shell, [tree]):
            return f"'{_short(rule)}' is not one SQL expression"
    except duckdb.ParserException as error:
        deep = "depth" in str(error)
        return "the rule is nested too deeply" if deep else f"'{_short(rule)}' is no SQL expression"
    except RecursionError:
        return "the rule is nested too deeply"
    known = {column.lower() for column in columns}
    for node in _nodes(tree):
        if _needs_many_rows(node, database):
            more_rows = "looks at more than one row; a rule decides on each row by itself"
            return f"'{_short(rule)}' {more_rows}"
        if why := _refused(node):
            return f"{why} (docs/rules.md)"
        if node["class"] == "COLUMN_REF" and node["column_names"][0].lower() not in known:
            name = node["column_names"][0]
            return f"unknown column '{name}'{nearest(name, columns)}"
    return ""


def _parsed(expression: str, database: duckdb.DuckDBPyConnection) -> tuple[Node, list[Node]]:
    """The query around an expression without it, and the trees of what it selects. Raises
    duckdb.ParserException, RecursionError."""
    asked = "SELECT json_serialize_sql(?)"
    (made,) = database.execute(asked, [f"SELECT {expression} FROM rows"]).fetchone() or ("{}",)
    answer: Node = json.loads(made, object_hook=_without_places)
    if answer["error"]:
        raise duckdb.ParserException(answer["error_message"])
    if len(answer["statements"]) != 1 or "select_list" not in answer["statements"][0]["node"]:
        return answer, [{}]
    return answer, answer["statements"][0]["node"].pop("select_list")


def _without_places(node: Node) -> Node:
    """A node without where in the text it stands."""
    return {key: value for key, value in node.items() if not key.startswith("query_location")}


def _nodes(tree: Any) -> Iterator[Node]:
    """All nodes of a tree, each before those below it."""
    waiting = [tree]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if "class" in found:
                yield found
            waiting += reversed(found.values())
        elif isinstance(found, list):
            waiting += reversed(found)


def _needs_many_rows(node: Node, database: duckdb.DuckDBPyConnection) -> bool:
    """Whether a node is a subquery, a window, an aggregate or makes rows."""
    if node["class"] != "FUNCTION":
        return node["class"] in ("SUBQUERY", "WINDOW")
    name = node["function_name"].lower()
    asked = "SELECT function_type FROM duckdb_functions() WHERE function_name = ?"
    return name not in _CALLED and (
        name == "unnest" or ("aggregate",) in database.execute(asked, [name]).fetchall()
    )


def _refused(node: Node) -> str:
    """Why a node may not be part of a rule."""
    kind, asked = node["class"], str(node["type"])
    if asked not in NODES.get(kind, ()) or node["alias"]:
        return f"a rule has no {asked.removeprefix('VALUE_').replace('_', ' ').lower()}"
    if kind == "TYPE":
        name = node["type_name"].upper()
        if _SYNONYMS.get(name, name) not in TYPES or node["children"] or node["schema"]:
            return f"a rule casts to no '{node['type_name']}'{nearest(name, TYPES)}"
    if kind == "FUNCTION":
        name = node["function_name"].lower()
        if name not in (OPERATORS if node["is_operator"] else _CALLED):
            return f"a rule has no function '{name}'{nearest(name, _CALLED)}"
        if any(node[extra] for extra in _EXTRA) or node["order_bys"]["orders"]:
            return f"a rule gives '{name}' its arguments alone"
    return ""


def _short(rule: str, letters: int = 200) -> str:
    """The rule in one line, not longer than a terminal's few."""
    line = " ".join(rule.split())
    return line if len(line) <= letters else f"{line[:letters]}..."
