"""Files of this machine.

A file is written under a temporary name beside its own, flushed to disk, then renamed or, where it
must be new, linked: readers see all of it or nothing. A process killed in between leaves only a
hidden `.name.<random>.tmp`.
"""

import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import fsspec

from infra.storage.files import FileInfo
from infra.storage.uri import local_path


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system and the absolute path to use with it."""
    return fsspec.filesystem("file"), os.path.abspath(local_path(uri))


def open_read(uri: str) -> IO[bytes]:
    """A seekable binary stream. Raises FileNotFoundError."""
    return Path(local_path(uri)).open("rb")


def read_bytes(uri: str) -> bytes:
    """The whole file. Raises FileNotFoundError."""
    return Path(local_path(uri)).read_bytes()


def read_range(uri: str, start: int, end: int) -> bytes:
    """Bytes [start, end), as far as the file goes."""
    with open_read(uri) as stream:
        stream.seek(start)
        return stream.read(end - start)


def open_write(uri: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    """A binary stream whose file replaces an older one when the block ends."""
    return _appearing(uri, os.replace)


def write_bytes(uri: str, data: bytes) -> None:
    """Write or replace the file."""
    with open_write(uri) as stream:
        stream.write(data)


def create_exclusive(uri: str, data: bytes) -> None:
    """Create the file, or raise FileExistsError.

    Linking refuses a name that is taken, atomically, and the name is whole from the first moment;
    opening with O_EXCL would show readers an empty file while the content is written.
    """
    with _appearing(uri, os.link) as stream:
        stream.write(data)


def creates_exclusively(root: str) -> bool:
    """Whether one of several writers wins below `root`, which is made where it is missing."""
    os.makedirs(local_path(root), exist_ok=True)
    return True


@contextlib.contextmanager
def _appearing(uri: str, publish: Callable[[Path, Path], None]) -> Iterator[IO[bytes]]:
    """A stream to a temporary file; at the end `publish(temporary, target)` gives it its name."""
    target = Path(local_path(uri))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        publish(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def exists(uri: str) -> bool:
    """Whether a file or folder is there."""
    return os.path.exists(local_path(uri))


def modified(uri: str) -> float | None:
    """When the file's content last changed, seconds since 1970; None without such a file."""
    try:
        found = os.stat(local_path(uri))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_mtime if stat.S_ISREG(found.st_mode) else None


def list_files(folder: str) -> list[FileInfo]:
    """All files below `folder`, sorted by relative path."""
    base = local_path(folder)
    found = []
    for directory, _, names in os.walk(base):
        within = os.path.relpath(directory, base)
        for name in names:
            # A file that goes while its folder is listed is no longer part of the listing.
            with contextlib.suppress(FileNotFoundError):
                path = name if within == "." else f"{within}/{name}"
                found.append(_info(os.path.join(directory, name), path))
    return sorted(found, key=lambda info: info.path)


def list_names(folder: str) -> Iterator[FileInfo]:
    """The files directly in `folder`, in no order."""
    for entry in _entries(folder):
        if not entry.is_dir():
            with contextlib.suppress(FileNotFoundError):
                yield _info(entry.path, entry.name)


def list_folders(folder: str) -> list[str]:
    """Names of the folders directly in `folder`, sorted."""
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def _entries(folder: str) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(local_path(folder)) as entries:
            yield from entries
    except (FileNotFoundError, NotADirectoryError):
        return


def _info(full: str, path: str) -> FileInfo:
    found = os.stat(full)
    return FileInfo(str(Path(full)), path, found.st_size, found.st_mtime)


def delete(uri: str) -> None:
    """Remove a file or a folder with all it holds; nothing happens when it is not there."""
    path = local_path(uri)
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        Path(path).unlink(missing_ok=True)


def delete_many(uris: Iterable[str]) -> None:
    """Remove these files; one that is not there is skipped."""
    for uri in uris:
        Path(local_path(uri)).unlink(missing_ok=True)
