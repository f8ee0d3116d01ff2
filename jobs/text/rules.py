"""Decisions: SQL expressions over the columns and signals of documents, evaluated by DuckDB on Arrow
tables. No Spark.

A row is kept where every rule is true; a rule that is null fails. The reason is the name of the first
rule that fails, in the order of the names. DuckDB opens no file and no connection here, and its
settings are locked: an expression can only compute.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import duckdb
import pyarrow as pa

from infra.errors import UsageError, nearest

LANGUAGE = "language"
UNKNOWN = re.compile(r'Referenced column "([^"]+)" not found')
LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "enable_external_access": "false",
    "lock_configuration": "true",
}


def columns_in(rules: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """Those of the known columns whose names stand in a rule."""
    words = set(re.findall(r"[A-Za-z_]\w*", " ".join(rules.values()).lower()))
    return [name for name in known if name.lower() in words]


def check(rules: Mapping[str, str], schema: pa.Schema) -> None:
    """Raises UsageError that names the first rule that cannot be evaluated over these columns, with the
    nearest column's name."""
    empty = schema.empty_table()
    for name, rule in sorted(rules.items()):
        if why := _wrong(rule, empty):
            raise UsageError(f"filter.rules.{name}: {why}")


def _wrong(rule: str, empty: pa.Table) -> str:
    """What is wrong with a rule; empty for nothing."""
    with duckdb.connect(":memory:", config=LOCKED) as database:
        database.register("rows", empty)
        query = f"SELECT ({rule}) AS rule FROM rows"
        try:
            if len(database.extract_statements(query)) != 1:
                return f"'{rule}' is more than one SQL expression"
            made = database.execute(query).description or []
        except duckdb.ParserException:
            return f"'{rule}' is no SQL expression"
        except duckdb.Error as error:
            unknown = UNKNOWN.search(str(error))
            if unknown:
                return f"unknown column '{unknown[1]}'{nearest(unknown[1], empty.column_names)}"
            return str(error).splitlines()[0][:200]
    kinds = [str(column[1]) for column in made]
    if len(kinds) != 1:
        return f"'{rule}' is more than one SQL expression"
    if kinds[0] != "BOOLEAN":
        return f"'{rule}' is a {kinds[0].lower()}; a rule must be true or false"
    return ""


def reasons(rows: pa.Table, rules: Mapping[str, str], languages: Sequence[str]) -> pa.Array:
    """(rows,) why each row is dropped, null for a kept one; `language` before all rules."""
    named = [("lang IN (SELECT unnest(?))", LANGUAGE)] if languages else []
    named += [(rule, name) for name, rule in sorted(rules.items())]
    if not named:
        return pa.nulls(rows.num_rows, pa.string())
    cases = " ".join(f"WHEN NOT coalesce(({rule}), false) THEN '{_quoted(n)}'" for rule, n in named)
    with duckdb.connect(":memory:", config=LOCKED) as database:
        database.register("rows", rows)
        query = f"SELECT CASE {cases} END AS reject_reason FROM rows"
        made = database.execute(query, [list(languages)] if languages else [])
        found: pa.Table = made.to_arrow_table()
    return found["reject_reason"].cast(pa.string()).combine_chunks()


def _quoted(name: str) -> str:
    return name.replace("'", "''")
