"""Deletion that is safe while others work: what nobody names goes, what a kept artifact or a running step names stays.

A step says in its unfinished artifact's `_work/uses/` which shards it will be made of, *then* waits for a `gc` under way, then looks for
them. `gc` puts up a mark, *then* reads what is named, then deletes. So either `gc` sees what the step said, or the step sees the mark.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from infra import storage
from infra.errors import GristmillError
from infra.lake.shards import name_of
from infra.manifest import SHARDS
from infra.storage import FileInfo

MARK = "_collecting"
BEAT_SECONDS = 10.0
DEAD_SECONDS = 60.0
POLL_SECONDS = 1.0


@dataclass
class Freed:
    """What was removed, or would be: artifacts and shards by URI or name, and the bytes of their files."""

    artifacts: list[str] = field(default_factory=list)
    shards: list[str] = field(default_factory=list)
    files: int = 0
    size_bytes: int = 0


@contextlib.contextmanager
def collecting(root: str) -> Iterator[None]:
    """The mark is up inside the block. Raises GristmillError when another `gc` runs."""
    mark = storage.join(root, MARK)
    if storage.exists(mark) and not _dead(mark):
        raise GristmillError(f"{root}: another gc is running; wait for it")
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            storage.write_bytes(mark, str(time.time()).encode())

    storage.write_bytes(mark, str(time.time()).encode())
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        storage.delete(mark)


def wait_until_collected(root: str) -> None:
    """Return when no `gc` is under way; one that gives no sign any more counts as dead."""
    mark = storage.join(root, MARK)
    if storage.exists(mark):
        _dead(mark)


def _dead(mark: str) -> bool:
    """Wait until the mark is gone (False) or has not changed for DEAD_SECONDS by this process's clock (True: it is removed)."""
    said, since = _read(mark), time.monotonic()
    while said is not None:
        if time.monotonic() - since > DEAD_SECONDS:
            storage.delete(mark)
            return True
        time.sleep(POLL_SECONDS)
        now = _read(mark)
        if now != said:
            said, since = now, time.monotonic()
    return False


def _read(mark: str) -> bytes | None:
    try:
        return storage.read_bytes(mark)
    except FileNotFoundError:
        return None


def uses_in(files: list[FileInfo]) -> Iterator[str]:
    """The shards that these `_work/uses/` files name; one that is gone by now names none."""
    for info in files:
        with contextlib.suppress(FileNotFoundError):
            yield from json.loads(storage.read_bytes(info.uri))


def remove_shards(root: str, named: Callable[[str], bool], dry_run: bool, freed: Freed) -> None:
    """Remove all shards but the named ones; their notes first, so that no half of one is ever found."""
    for shard_map in storage.list_folders(storage.join(root, SHARDS)):
        folder = storage.join(root, SHARDS, shard_map)
        notes: list[str] = []
        files: list[str] = []
        for info in storage.list_files(folder):
            path = f"{SHARDS}/{shard_map}/{info.path}"
            is_note = info.path.endswith(".json")
            name = path.removeprefix(f"{SHARDS}/").removesuffix(".json")
            if not is_note:
                name = name_of(path)
            if info.path.startswith(".") or info.path.endswith(".claim") or named(name):
                continue
            (notes if is_note else files).append(info.uri)
            freed.files += 1
            freed.size_bytes += info.size_bytes
            if is_note:
                freed.shards.append(name)
        if not dry_run:
            storage.delete_many(notes)
            storage.delete_many(files)
