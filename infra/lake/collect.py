"""Deletion that is safe while others work: what a kept artifact or a running step names stays.

A step says in its unfinished artifact's `_work/uses/` what it is made from and which shards it will
be made of, *then* waits for a `gc` under way, then looks for them (`Writer`). `gc` takes the mark,
*then* reads what is said, then what is finished, then deletes. So either `gc` sees what the step
said, or the step sees the mark; and an artifact that is committed meanwhile is seen at least once.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from infra import storage
from infra.manifest import SHARDS
from infra.storage import FileInfo
from infra.storage.claim import claim

MARK = "_collecting"
DEAD_SECONDS = 60.0
"""After so long a `gc` on S3 that shows no life counts as dead; on a disk the kernel knows it."""
POLL_SECONDS = 1.0


@dataclass
class Freed:
    """What was removed, or would be.

    artifacts   finished ones by path, half-written folders by URI
    shards      by name
    files       of both
    size_bytes  of these files
    """

    artifacts: list[str] = field(default_factory=list)
    shards: list[str] = field(default_factory=list)
    files: int = 0
    size_bytes: int = 0


@dataclass
class InUse:
    """What running steps say: shards by name, artifacts by digest."""

    shards: set[str] = field(default_factory=set)
    artifacts: set[str] = field(default_factory=set)

    def to_json(self) -> bytes:
        """The text of a file in `_work/uses/`."""
        said = {"shards": sorted(self.shards), "artifacts": sorted(self.artifacts)}
        return json.dumps(said).encode()

    def add(self, files: Iterable[FileInfo]) -> None:
        """Add what these files say; one that is gone by now says nothing."""
        for info in files:
            with contextlib.suppress(FileNotFoundError):
                said = json.loads(storage.read_bytes(info.uri))
                self.shards.update(said["shards"])
                self.artifacts.update(said["artifacts"])


@contextlib.contextmanager
def collecting(root: str) -> Iterator[None]:
    """The mark is this process's inside the block; waits for another `gc`, takes a dead one's."""
    mark = storage.join(root, MARK)
    with claim(mark, lambda: False, stale_seconds=DEAD_SECONDS, poll_seconds=POLL_SECONDS):
        yield


def wait_until_collected(root: str) -> None:
    """Return when no `gc` is under way that began before; a dead one's mark is removed."""
    mark = storage.join(root, MARK)

    def gone() -> bool:
        return not storage.exists(mark)

    with claim(mark, gone, stale_seconds=DEAD_SECONDS, poll_seconds=POLL_SECONDS):
        pass


def remove_shards(root: str, named: Callable[[str], bool], dry_run: bool, freed: Freed) -> None:
    """Remove all shards but the named ones, and what was left of unnamed ones half-made.

    Their notes go first, so that no half of a shard is ever found.
    """
    for shard_map in storage.list_folders(storage.join(root, SHARDS)):
        notes: list[str] = []
        files: list[str] = []
        for info in storage.list_files(storage.join(root, SHARDS, shard_map)):
            leaf = info.path.rpartition("/")[2]
            name = f"{shard_map}/{_digest_in(leaf)}"
            if named(name):
                continue
            freed.files += 1
            freed.size_bytes += info.size_bytes
            if leaf == f"{_digest_in(leaf)}.json":
                notes.append(info.uri)
                freed.shards.append(name)
            else:
                files.append(info.uri)
        if not dry_run:
            storage.delete_many(notes)
            storage.delete_many(files)


def _digest_in(leaf: str) -> str:
    """The digest that begins every name of a shard: its files', its note's, its claim's, and those
    that a local file has, behind a dot, while it is written."""
    return leaf.removeprefix(".").partition(".")[0].partition("-")[0]
