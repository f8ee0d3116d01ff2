"""Work that one process should do while the others wait for it, on one machine or on many.

    with claim(storage.join(root, "_claims", digest), done=lambda: lake.has(artifact)) as mine:
        if mine:
            make(artifact)

It saves work and promises nothing: two holders at once are rare, not impossible (a holder that was
suspended longer than `stale_seconds`, two waiters that find the same dead holder within the same
milliseconds). What is done under a claim must stay right when it is done twice: write it by
`create_exclusive`, or under names of its own.

Local: an flock on the file, which the kernel releases when its holder dies, however that happens.
It belongs to the opened file, so that two threads of one process exclude each other too. S3: an
object created exclusively, which its holder rewrites while it lives; one that no longer changes
is taken over. Each waiter measures that by its own monotonic clock: no two clocks are compared.
"""

import contextlib
import fcntl
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

from botocore.exceptions import BotoCoreError

from infra import storage

BEATS = 4
"""How often a holder on S3 shows that it lives within the time after which it counts as dead."""


class _Lock(Protocol):
    def acquire(self) -> bool: ...
    def release(self) -> None: ...


@contextlib.contextmanager
def claim(
    uri: str,
    done: Callable[[], bool],
    *,
    stale_seconds: float = 60.0,
    poll_seconds: float = 1.0,
    waits: Callable[[], None] = lambda: None,
) -> Iterator[bool]:
    """Wait until the work is done or ours: True to one holder at a time, False when `done()` is.

    uri            the claim's file; nothing is left of it once it is released
    done           whether the work is there; asked before every try and again by the holder
    stale_seconds  after which a holder on S3 that shows no life counts as dead; unused locally
    poll_seconds   between two tries
    waits          called once, where another one holds it
    """
    lock: _Lock = _FileLock(uri) if storage.is_local(uri) else _ObjectLock(uri, stale_seconds)
    told = False
    while not done():
        if lock.acquire():
            break
        if not told:
            waits()
            told = True
        time.sleep(poll_seconds)
    else:
        yield False
        return
    try:
        # Between the question above and the lock the holder before may have finished.
        mine = not done()
        if mine:
            yield True
    finally:
        lock.release()
    if not mine:
        yield False


def is_held(uri: str) -> bool:
    """Whether a process holds the claim; on S3, whether one does or died less than a minute ago."""
    if not storage.is_local(uri):
        return storage.exists(uri)
    try:
        with Path(storage.local_path(uri)).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class _FileLock:
    def __init__(self, uri: str) -> None:
        self._path = Path(storage.local_path(uri))
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        # The holder before unlinks the file. Who opened it earlier now has a lock on a file without
        # a name, while the next one makes a new file under this name and locks that.
        if not self._is_named(file):
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        assert self._file is not None
        if self._is_named(self._file):
            self._path.unlink(missing_ok=True)  # before the lock goes: nobody else holds it yet
        self._file.close()

    def _is_named(self, file: IO[bytes]) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False


class _ObjectLock:
    def __init__(self, uri: str, stale_seconds: float) -> None:
        self._uri, self._stale_seconds = uri, stale_seconds
        self._owner = uuid.uuid4().hex.encode()
        self._seen: bytes | None = None
        self._since = 0.0
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="claim", daemon=True)

    def acquire(self) -> bool:
        try:
            storage.create_exclusive(self._uri, self._owner)
        except FileExistsError:
            # One that nobody touches any more goes; the next try may create it.
            if self._is_stale():
                storage.delete(self._uri)
            return False
        self._heart.start()
        return True

    def _is_stale(self) -> bool:
        """Whether the object has stayed the same for long enough before our eyes."""
        try:
            found = storage.read_bytes(self._uri)
        except FileNotFoundError:
            return False
        if found != self._seen:
            self._seen, self._since = found, time.monotonic()
        return time.monotonic() - self._since >= self._stale_seconds

    def _beat(self) -> None:
        count = 0
        while not self._released.wait(self._stale_seconds / BEATS):
            count += 1
            # A beat that the network swallows is made up for by the next one.
            with contextlib.suppress(OSError, BotoCoreError):
                if not self._is_ours():
                    return
                storage.write_bytes(self._uri, b"%s %d" % (self._owner, count))

    def _is_ours(self) -> bool:
        try:
            return storage.read_bytes(self._uri).startswith(self._owner)
        except FileNotFoundError:
            return False

    def release(self) -> None:
        self._released.set()
        self._heart.join()
        # The work is done; an object that stays because the store is away goes stale by itself.
        with contextlib.suppress(OSError, BotoCoreError):
            if self._is_ours():
                storage.delete(self._uri)
