"""Small artifacts and shards for tests of the lake, and a way to see that somebody waits."""

import dataclasses
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import storage
from infra.lake import Artifact, Lake, Writer
from infra.lake.shards import NewShard, Shard, find, make
from infra.manifest import Counts, FileEntry, Identity, Manifest

DEDUP = Identity("dedup", "dedup", 1, {"threshold": 0.8}, {"documents": "0" * 64})
WAIT_SECONDS = 60.0
"""After so long a test gives up on what should happen at once."""
NUMBERS = pa.schema([("n", pa.int64())])


def write_rows(writer: Writer, path: str, rows: int) -> None:
    """A Parquet file with so many rows in the artifact's folder."""
    with storage.open_write(writer.file(path)) as stream:
        pq.write_table(pa.table({"text": ["x"] * rows, "n": list(range(rows))}), stream)


def make_artifact(lake: Lake, identity: Identity = DEDUP, name: str = "default") -> Manifest:
    """A finished artifact: three rows, one rejected."""
    writer = lake.begin(identity, name)
    write_rows(writer, "part-0.parquet", 3)
    write_rows(writer, "_rejected/part-0.parquet", 1)
    return writer.commit(Counts(4, 3, {"near_duplicate": 1}))


def make_of_shards(lake: Lake, identity: Identity, *names: str, name: str = "default") -> Manifest:
    """A finished artifact that is made of these shards, each built now."""
    with lake.begin(identity, name) as writer:
        writer.uses(names)
        files = [
            dataclasses.replace(entry, shard=number)
            for number, shard in enumerate(make_shard(lake.root, each) for each in names)
            for entry in shard.files
        ]
        return writer.commit(Counts(len(names), len(names)), files=files)


def make_shard(root: str, name: str) -> Shard:
    """A shard of one row, none rejected."""
    shard, _ = make(root, name, one_row)
    return shard


def one_row(new: NewShard) -> Counts:
    """Builds a shard of one row."""
    with new.rows(NUMBERS) as kept:
        kept.write(pa.RecordBatch.from_pydict({"n": [1]}, NUMBERS))
    return Counts(1, 1)


def paths(artifact: Artifact) -> list[str]:
    """What is in the artifact's folder."""
    return [info.path for info in storage.list_files(artifact.uri)]


def shard_paths(lake: Lake) -> list[str]:
    """What is in the lake's folder of shards."""
    return [info.path for info in storage.list_files(storage.join(lake.root, "shards"))]


def versions(count: int) -> list[Identity]:
    """So many identities of one step."""
    return [dataclasses.replace(DEDUP, version=2 + number) for number in range(count)]


def made_from(parent: Manifest, kind: str = "clean") -> Identity:
    """The identity of an artifact that is made from another one."""
    return Identity(kind, kind, 1, {}, {parent.kind: parent.digest})


def there(lake: Lake) -> set[str]:
    """The names of the finished shards."""
    notes = [path.split("/") for path in shard_paths(lake) if path.endswith(".json")]
    found = {f"{shard_map}/{leaf.removesuffix('.json')}" for shard_map, _, leaf in notes}
    assert all(find(lake.root, name) for name in found)
    return found


def own_files(manifest: Manifest) -> list[tuple[str, int]]:
    """Path within the artifact's folder and rows of each of its files."""
    return [(within(entry), entry.rows) for entry in manifest.files]


def within(entry: FileEntry) -> str:
    """The path of an artifact's own file below its folder."""
    return entry.path.split("/", 3)[3]


class Asked:
    """Sees how often a process asks whether a file exists: who waits for one asks again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
        self._uri = uri
        self._times = 0
        self._changed = threading.Condition()
        self._exists = storage.exists
        monkeypatch.setattr(storage, "exists", self._ask)

    def _ask(self, uri: str) -> bool:
        answer = self._exists(uri)
        if uri == self._uri:
            with self._changed:
                self._times += 1
                self._changed.notify_all()
        return answer

    def again(self, times: int = 3) -> None:
        """Return when it has been asked so many times more; that is more than one look."""
        with self._changed:
            until = self._times + times
            assert self._changed.wait_for(lambda: self._times >= until, WAIT_SECONDS)
