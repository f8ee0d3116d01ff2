"""Decisions: SQL expressions over the columns and signals of documents, evaluated by DuckDB on
Arrow tables. No Spark.

A row is kept where every rule is true; a rule that is null fails. The reason is the name of the
first rule that fails, in the order of the names. A rule speaks of one row and gives the same answer
for it every time: no aggregate, no subquery, no chance, no clock. Times are UTC, without a zone.
DuckDB opens no file and no connection here, and its settings are locked: an expression can only
compute.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence

import duckdb
import pyarrow as pa

from infra.errors import UsageError, nearest

LANGUAGE = "language"
UNKNOWN = re.compile(r'Referenced column "([^"]+)" not found')
MANY_ROWS = ("aggregate", "window", "subqueries", "UNNEST")
CHANGING = ("side effects", "settings")
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
    """Raises UsageError that names the first rule that cannot be evaluated over these columns, with
    the nearest column's name."""
    with _database().cursor() as database:
        database.register("given", _without_zones(schema.empty_table()))
        database.execute("CREATE TEMP TABLE rows AS FROM given")
        for name, rule in sorted(rules.items()):
            if why := _wrong(rule, database, schema.names):
                raise UsageError(f"filter.rules.{name}: {why}")


def _wrong(rule: str, database: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> str:
    """What is wrong with a rule over the empty table `rows`; empty for nothing."""
    try:
        asked = f"ALTER TABLE rows ADD CHECK ({rule})"  # parsed only: takes no subquery
        if len(database.extract_statements(asked)) != 1:
            return f"'{rule}' is not one SQL expression"
        made = database.execute(f"SELECT ({rule}) FROM rows").description or []
        kinds = [str(column[1]).strip('"') for column in made]
        if len(kinds) != 1 or kinds[0].startswith("TUPLE"):
            return f"'{rule}' is not one SQL expression"
        if kinds[0] != "BOOLEAN":
            return f"'{rule}' is a {kinds[0].lower()}; a rule must be true or false"
        database.execute(f"SELECT 1 FROM rows WHERE ({rule})")  # no aggregates, no windows
    except duckdb.Error as error:
        message = " ".join(str(error).partition("LINE 1:")[0].split())
        if unknown := UNKNOWN.search(message):
            return f"unknown column '{unknown[1]}'{nearest(unknown[1], columns)}"
        if any(word in message for word in MANY_ROWS):
            return f"'{rule}' looks at more than one row; a rule decides on each row by itself"
        return f"'{rule}' is no SQL expression" if "Parser" in message else message
    if _changes(rule, database, columns[0]):
        return f"'{rule}' depends on chance, the clock or settings; a rule asks for its row alone"
    return ""


def _changes(rule: str, database: duckdb.DuckDBPyConnection, column: str) -> bool:
    """Whether a row may get different answers: DuckDB knows, and makes no index of such a rule."""
    try:
        database.execute(f'CREATE INDEX held ON rows (coalesce(({rule}), "{column}" IS NULL))')
        database.execute("DROP INDEX held")
    except duckdb.Error as error:
        return any(word in str(error) for word in CHANGING)
    return False


def reasons(rows: pa.Table, rules: Mapping[str, str], languages: Sequence[str]) -> pa.Array:
    """(rows,) why each row is dropped, null for a kept one; `language` before all rules."""
    named = [("lang IN (SELECT unnest(?))", LANGUAGE)] if languages else []
    named += [(rule, name) for name, rule in sorted(rules.items())]
    if not named:
        return pa.nulls(rows.num_rows, pa.string())
    cases = " ".join(f"WHEN NOT coalesce(({rule}), false) THEN '{_quoted(n)}'" for rule, n in named)
    with _database().cursor() as database:
        database.register("rows", _without_zones(rows))
        query = f"SELECT CASE {cases} END AS reject_reason FROM rows"
        made = database.sql(query, params=[list(languages)] if languages else None)
        found: pa.Table = made.to_arrow_table()
    return found["reject_reason"].cast(pa.string()).combine_chunks()


def _without_zones(rows: pa.Table) -> pa.Table:
    """The rows with times as they are in UTC: the zone of a machine must not decide."""
    kinds = [
        pa.timestamp(field.type.unit) if pa.types.is_timestamp(field.type) else field.type
        for field in rows.schema
    ]
    return rows.cast(pa.schema(list(zip(rows.column_names, kinds, strict=True))))


@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    """One database in memory a process: opening it takes 25 ms, a cursor of its own 0.1 ms."""
    return duckdb.connect(":memory:", config=LOCKED)


def _quoted(name: str) -> str:
    return name.replace("'", "''")
