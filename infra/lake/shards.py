"""Shards: what row-by-row work makes of one input shard, stored once and found again by any run.

A shard is named by the digest of (map, its version, the parameters that matter to it, what it was
made from, versions of the libraries that shape it). Its files lie under `shards/<map>/`, each under
a name of its own attempt; `shards/<map>/__notes/<digest>.json`, its note, is written last,
exclusively: what has none does not exist. Beside the kept rows lie only folders that no reader of a
folder takes for data.
Two runs that need the same shard at once: one makes it, the other waits and uses it.
"""

import dataclasses
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from infra import storage
from infra.errors import DamagedError, TransientError
from infra.lake.parquet import RowsFile
from infra.manifest import REJECTED_ROWS, SHARDS, Counts, FileEntry, digest_of, versions_of
from infra.storage.claim import claim
from infra.usage import usage

DIGEST_CHARS = 32
NOTES = "__notes"
Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class ShardMap:
    """Row-by-row work, declared: the same declaration over the same shard gives the same rows.

    name        folder of its shards, unique among all maps
    version     raised whenever its result changes
    parameters  plain data that changes the result
    reads       columns it is given, beside `row`, the row's number in the shard's first layer
    schema      columns it makes
    apply       module-level function over record batches, or a partial of one; runs in a worker
    layer       whether its output stands beside the rows it was given, one for one, as columns of
                theirs (a column `reject_reason` drops the rows where it is not null; one that
                replaces `text` replaces `n_bytes` too, which the accounts read); else it is
                something else made of the rows
    libraries   packages another version of which may make other rows, and `python`
    """

    name: str
    version: int
    parameters: Mapping[str, Any]
    reads: tuple[str, ...]
    schema: pa.Schema = field(compare=False)
    apply: Callable[[Batches], Batches] = field(compare=False)
    layer: bool = True
    libraries: tuple[str, ...] = ()

    def shard_name(self, made_from: Any) -> str:
        """`<map>/<digest>` of the shard that it makes of that: names of shards, or plain data."""
        declared = [self.name, self.version, dict(self.parameters), made_from]
        if self.libraries:
            declared.append(versions_of(self.libraries))
        return f"{self.name}/{digest_of(declared)[:DIGEST_CHARS]}"


@dataclass(frozen=True)
class Shard:
    """A finished shard: its files, the rows that it was made from and those that it kept."""

    name: str
    files: tuple[FileEntry, ...]
    counts: Counts
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def data(self) -> FileEntry:
        """The file of the kept rows."""
        return next(entry for entry in self.files if not entry.is_rejected)

    def to_json(self) -> bytes:
        """The text of its note in the lake."""
        return (json.dumps(dataclasses.asdict(self)) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> "Shard":
        """Raises DamagedError for a damaged note."""
        try:
            raw = json.loads(data)
            raw["files"] = tuple(FileEntry(**entry) for entry in raw["files"])
            raw["counts"] = Counts(**raw["counts"])
            return cls(**raw)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedError(
                f"{where}: damaged note ({error}); run the step again, it makes the shard anew"
            ) from None


class NewShard:
    """A shard being made: opens its files, under names that no other attempt has."""

    def __init__(self, root: str, name: str) -> None:
        self.root = root
        self.map, _, self.digest = name.partition("/")
        self._attempt = uuid.uuid4().hex[:8]
        self._opened: list[RowsFile] = []

    def rows(self, schema: pa.Schema, *, rejected: bool = False) -> RowsFile:
        """A Parquet file of the shard, to be entered as a context."""
        folder = (SHARDS, self.map, REJECTED_ROWS) if rejected else (SHARDS, self.map)
        path = "/".join([*folder, f"{self.digest}-{self._attempt}.parquet"])
        self._opened.append(RowsFile(self.root, path, schema))
        return self._opened[-1]

    def files(self) -> tuple[FileEntry, ...]:
        """Those that are whole."""
        return tuple(file.entry for file in self._opened if file.entry)


def note_path(name: str) -> str:
    """Where the note of a shard is, below the lake's root."""
    shard_map, _, digest = name.partition("/")
    return f"{SHARDS}/{shard_map}/{NOTES}/{digest}.json"


def note_of(root: str, name: str) -> str:
    """Where the note of a shard is."""
    return storage.join(root, note_path(name))


def there(root: str, shard_map: str) -> set[str]:
    """The names of all finished shards of a map, by one listing."""
    listed = storage.list_names(storage.join(root, SHARDS, shard_map, NOTES))
    notes = (info.path for info in listed if info.path.endswith(".json"))
    return {f"{shard_map}/{path.removesuffix('.json')}" for path in notes}


def find(root: str, name: str) -> Shard | None:
    """The finished shard of that name. Raises DamagedError for a damaged note."""
    where = note_of(root, name)
    try:
        return Shard.from_json(storage.read_bytes(where), where)
    except FileNotFoundError:
        return None


def make(root: str, name: str, build: Callable[[NewShard], Counts]) -> tuple[Shard, bool]:
    """The shard of that name, and whether it was there: built now unless it is.

    A damaged note is none. Raises what `build` raises, and GristmillError when it lost rows; no
    shard is there then.
    """
    where = note_of(root, name)
    try:
        found = find(root, name)
    except DamagedError:
        storage.delete(where)
        found = None
    if found is not None:
        return found, True
    with claim(f"{where}.claim", lambda: storage.exists(where)) as mine:
        if not mine:
            return _required(root, name), True
        began, cpu_before = time.monotonic(), usage()[0]
        new = NewShard(root, name)
        counts = build(new)
        counts.check(name.partition("/")[0])
        seconds = round(time.monotonic() - began, 3)
        cpu_seconds = round(usage()[0] - cpu_before, 3)
        shard = Shard(name, new.files(), counts, seconds, cpu_seconds)
        try:
            storage.create_exclusive(where, shard.to_json())
        except FileExistsError:
            return _required(root, name), True
        return shard, False


def _required(root: str, name: str) -> Shard:
    found = find(root, name)
    if found is None:
        raise TransientError(f"{note_of(root, name)}: is gone again; was the lake cleaned by hand?")
    return found


def name_of(path: str) -> str:
    """The name of the shard of a file: `extract/ab12` of `shards/extract/ab12-77.parquet`."""
    _, shard_map, *_, leaf = path.split("/")
    return f"{shard_map}/{leaf.rpartition('-')[0]}"
