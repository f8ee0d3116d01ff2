"""Row-by-row work on Spark: one task a shard, each made once and found again (`infra.lake.shards`).

Which shards there are, one listing says: a task is started for those alone that are to be made.
No row passes through the JVM or the driver: a worker reads its shard's files, writes its result and
answers with the shard's note, about 500 bytes; 10^5 shards are 50 MB on the driver.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from infra.errors import DamagedError, GristmillError
from infra.lake import Writer, shards
from infra.lake.damage import Stored
from infra.lake.repair import remove_files
from infra.lake.rows import REASON, Stack, read_rows
from infra.lake.shards import NewShard, Shard, ShardMap
from infra.manifest import Counts
from infra.process import emit
from jobs.spark.places import answers_at
from jobs.spark.session import Session
from jobs.spark.watched import WHOLE, Part, watched

TEXT_BYTES = "n_bytes"
Build = Callable[[NewShard], Counts]


@dataclasses.dataclass(frozen=True)
class Work:
    """A shard to be there: its name, what makes it, and how large what it is made from is."""

    name: str
    build: Build
    size_bytes: int


def make_all(
    session: Session, writer: Writer, step: str, works: Sequence[Work], part: Part = WHOLE
) -> list[Shard]:
    """The shards of these works, in their order; those that are there are found, the others made,
    the largest first. `part`: of the step, which this is."""
    writer.uses(work.name for work in works)
    notes = _found(session, step, [work.name for work in works])
    missing = [place for place in range(len(works)) if place not in notes]
    missing.sort(key=lambda place: -works[place].size_bytes)
    root = session.root

    def make(number: int) -> str:
        work = works[missing[number]]
        shard, _ = shards.make(root, work.name, work.build)
        return shard.to_json().decode()

    with watched(session, step, part, len(missing), "shards"):
        made = answers_at(session, len(missing), make, tasks=len(missing))
    notes |= dict(zip(missing, made, strict=True))
    return [Shard.from_json(notes[place].encode(), step) for place in range(len(works))]


def _found(session: Session, step: str, names: Sequence[str]) -> dict[int, str]:
    """Place -> note of the shards that are there, whole. What is damaged of the others is removed,
    so that they are made again."""
    root = session.root
    folders = {name.partition("/")[0] for name in names}
    listed = {name for folder in folders for name in shards.there(root, folder)}
    there = [place for place, name in enumerate(names) if name in listed]

    def read(number: int) -> dict[str, str]:
        try:
            shard = shards.find(root, names[there[number]])
        except DamagedError as error:
            return {"damaged": str(error)}  # whoever makes it replaces the note
        return {"note": shard.to_json().decode()} if shard else {}

    said = answers_at(session, len(there), read)
    for each in said:
        if "damaged" in each:
            emit("damaged", step=step, message=each["damaged"])
    found = {place: each["note"] for place, each in zip(there, said, strict=True) if "note" in each}
    stored = Stored(root)
    for place, note in list(found.items()):
        if damage := stored.wrong(Shard.from_json(note.encode(), names[place]).files):
            for each in damage:
                emit("damaged", step=step, message=each.line)
            remove_files(root, (each.path for each in damage))
            del found[place]
    return found


def map_shards(
    session: Session,
    writer: Writer,
    step: str,
    shard_map: ShardMap,
    stacks: Sequence[Stack],
    number: int = 1,
    of: int = 1,
) -> list[Shard]:
    """What `shard_map` makes of each of these shards; part `number` of the step's."""
    root = session.root
    works = [
        Work(
            shard_map.shard_name(stack.names),
            _Apply(root, shard_map, stack),
            stack.size_bytes,
        )
        for stack in stacks
    ]
    return make_all(session, writer, step, works, Part(shard_map.name, number, of))


@dataclasses.dataclass(frozen=True)
class _Apply:
    """Builds the shard that a map makes of a stack. Runs in a worker."""

    root: str
    shard_map: ShardMap
    stack: Stack

    def __call__(self, new: NewShard) -> Counts:
        sizes: list[pa.Array] = []
        reasons: list[pa.Array] = []
        replaced: list[pa.Array] = []
        columns = [*self.shard_map.reads, TEXT_BYTES]

        def read() -> Iterator[pa.RecordBatch]:
            for batch in read_rows(self.root, self.stack, columns, keyed=False):
                if lacking := set(columns).difference(batch.schema.names):
                    raise GristmillError(
                        f"{self.shard_map.name}: no layer of its rows has the column"
                        f" '{min(lacking)}'; run the step that makes it before"
                    )
                sizes.append(batch.column(TEXT_BYTES))
                yield batch

        with new.rows(self.shard_map.schema) as file:
            for batch in self.shard_map.apply(read()):
                file.write(batch)
                if self.shard_map.layer and REASON in batch.schema.names:
                    reasons.append(batch.column(REASON))
                if self.shard_map.layer and TEXT_BYTES in batch.schema.names:
                    replaced.append(batch.column(TEXT_BYTES))
            rows_in = sum(map(len, sizes))
            # Inside the block: a file that lost rows must not be left behind.
            if self.shard_map.layer and file.rows != rows_in:
                raise GristmillError(
                    f"{self.shard_map.name}: {rows_in} rows in, {file.rows} beside them;"
                    " please report this"
                )
        return tally(replaced or sizes, reasons)


def tally(sizes: Sequence[pa.Array], reasons: Sequence[pa.Array]) -> Counts:
    """Counts of rows of these text sizes (bytes): those without a reason are kept, the others
    dropped, by reason. No reasons: all are kept. `extra.bytes_text` counts the kept texts."""
    size = pa.chunked_array([part.cast(pa.int64()) for part in sizes], pa.int64())
    reason = pa.chunked_array(reasons, pa.string()) if reasons else pa.nulls(len(size), pa.string())
    kept = size.filter(pc.is_null(reason))
    counted = pc.value_counts(reason.drop_null()).to_pylist()
    rejected = {entry["values"]: entry["counts"] for entry in counted}
    texts = {"bytes_text": int(pc.sum(kept).as_py() or 0)}
    return Counts(len(size), len(kept), dict(sorted(rejected.items())), texts)
