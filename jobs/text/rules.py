"""Decisions: SQL expressions over the columns and signals of documents, evaluated by DuckDB on
Arrow tables. No Spark.

A row is kept where every rule is true; a rule that is null fails. The reason is the name of the
first rule that fails, in the order of the names. A rule speaks of one row, gives the same answer
for it every time and can only compute: `jobs.text.expressions` says which expressions pass, all
others are refused. Times are UTC, without a zone. DuckDB opens no file and no connection here, and
its settings are locked.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence

import duckdb
import pyarrow as pa

from infra.errors import GristmillError, UsageError
from jobs.text.expressions import why_not

LANGUAGE = "language"
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
    the nearest column's or function's name."""
    with _database().cursor() as database:
        database.register("rows", _without_zones(schema.empty_table()))
        for name, rule in sorted(rules.items()):
            why = why_not(rule, database, schema.names) or _not_decided(rule, database)
            if why:
                raise UsageError(f"filter.rules.{name}: {why}")


def _not_decided(rule: str, database: duckdb.DuckDBPyConnection) -> str:
    """Why an expression gives the empty table `rows` no decision: types that do not fit."""
    try:
        made = database.execute(f"SELECT ({rule}) FROM rows").description or []
    except duckdb.Error as error:
        return _one_line(error)
    kind = str(made[0][1]).strip('"')
    return (
        "" if kind == "BOOLEAN" else f"'{rule}' is a {kind.lower()}; a rule must be true or false"
    )


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
        try:
            made = database.sql(query, params=[list(languages)] if languages else None)
            found: pa.Table = made.to_arrow_table()
        except duckdb.Error as error:
            raise GristmillError(f"filter.rules: {_one_line(error)}; TRY_CAST gives null") from None
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


def _one_line(error: duckdb.Error) -> str:
    return " ".join(str(error).partition("LINE 1:")[0].split())


def _quoted(name: str) -> str:
    return name.replace("'", "''")
