"""The rows that a step rejected, whichever way it says so.

In: the manifest of an artifact, and that of the documents it was made from. A step either writes
its rejected rows to files of their own (below `_rejected/`), with what they say of a row and, where
the row has a text elsewhere, its `shard` and `row`; or it lays a column `reject_reason` beside the
rows (`infra.lake.rows`). Out: batches of `reject_reason`, `detail` (null where there was nothing to
add) and the columns that were asked for, looked up in the documents where the step did not store
them, null where nobody has them.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from infra.lake import parquet
from infra.lake.rows import REASON, ROW, Stack, read_rows, stacks_of
from infra.manifest import Manifest

SHARD, DETAIL = "shard", "detail"
Chosen = Callable[[list[str]], list[bool]]


class _Asked(NamedTuple):
    """What `rejected_rows` was called with."""

    root: str
    manifest: Manifest
    before: Manifest | None
    columns: Sequence[str]
    chosen: Chosen


def every(reasons: list[str]) -> list[bool]:
    """Choose all rows."""
    return [True] * len(reasons)


def rejected_rows(
    root: str,
    manifest: Manifest,
    before: Manifest | None,
    columns: Sequence[str],
    chosen: Chosen = every,
) -> Iterator[pa.RecordBatch]:
    """The rows that the artifact's own step rejected, in the order of its files and shards.

    before  the documents that it was made from; None for a step that reads none
    chosen  which rows to give, by their reasons; asked before anything is looked up
    """
    asked = _Asked(root, manifest, before, columns, chosen)
    names = list(dict.fromkeys([REASON, DETAIL, *columns]))
    for table in chain(_of_files(asked), _of_layers(asked)):
        for name in names:
            if name not in table.column_names:
                kind = pa.string() if name == DETAIL else pa.null()
                table = table.append_column(name, pa.nulls(len(table), kind))
        yield from table.select(names).combine_chunks().to_batches()


def _of_files(asked: _Asked) -> Iterator[pa.Table]:
    """Those that lie in files of their own."""
    root, manifest, before, columns, chosen = asked
    stacks = {stack.shard: stack for stack in stacks_of(before)} if before else {}
    names = list(dict.fromkeys([SHARD, ROW, REASON, DETAIL, *columns]))
    for entry in manifest.files:
        if not entry.is_rejected:
            continue
        rows = _choose(parquet.read(root, entry.path, names), chosen)
        missing = [name for name in columns if name not in rows.column_names]
        if not missing or not {SHARD, ROW}.issubset(rows.column_names):
            yield rows
            continue
        for shard in pc.unique(rows[SHARD]).to_pylist():
            mine = rows.filter(pc.equal(rows[SHARD], shard))
            yield _with(mine, looked_up(root, stacks[shard], mine[ROW], missing))


def _of_layers(asked: _Asked) -> Iterator[pa.Table]:
    """Those that a layer of the step drops."""
    root, manifest, before, columns, chosen = asked
    inherited = {entry.path for entry in before.files} if before else set()
    lists = {stack.shard: stack.keyed for stack in stacks_of(before)} if before else {}
    for stack in stacks_of(manifest):
        for place, path in enumerate(stack.layers):
            if path in inherited:
                continue
            part = Stack(stack.shard, stack.layers[: place + 1], lists.get(stack.shard, ()))
            for batch in read_rows(root, part, [DETAIL, *columns], judged=True):
                if REASON not in batch.schema.names:
                    break
                rows = pa.Table.from_batches([batch])
                yield _choose(rows.filter(pc.is_valid(rows[REASON])), chosen)


def looked_up(root: str, stack: Stack, numbers: pa.ChunkedArray, columns: list[str]) -> pa.Table:
    """Columns of rows of a shard, in the order of the numbers; those that the documents have."""
    wanted = pa.array(numbers.to_pylist(), pa.int32())
    found = []
    for batch in read_rows(root, stack, columns):
        rows = batch.filter(pc.is_in(batch.column(ROW), wanted))
        if rows.num_rows:
            found.append(rows)
        if sum(rows.num_rows for rows in found) == len(wanted):
            break
    if not found:
        return pa.table({})
    table = pa.Table.from_batches(found)
    places = pc.index_in(wanted, table[ROW].combine_chunks())
    return table.take(places).drop_columns([ROW])


def _choose(rows: pa.Table, chosen: Chosen) -> pa.Table:
    return rows.filter(pa.array(chosen(rows[REASON].to_pylist()), pa.bool_()))


def _with(rows: pa.Table, beside: pa.Table) -> pa.Table:
    for name in beside.column_names:
        rows = rows.append_column(name, beside[name])
    return rows
