"""Files by URI: local paths, `s3://` and, read-only, `https://`. Nobody else opens a remote path.

Promises, the same on a disk and on S3:

- a written file appears whole or not at all, also when its writer is killed;
- `create_exclusive` lets exactly one writer win (a hard link; `If-None-Match: *`);
- a folder is there when a file below it is; what is not there lists as empty, and deleting it does
  nothing;
- `list_files` and `list_folders` are sorted; `list_names` holds one page at a time.

URIs are plain strings; a local path needs no scheme. Each place is one module with the same
functions (`local`, `s3`; `web` has those that read); `_place` and `_readable` choose it by scheme.
"""

import contextlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import IO, Any, Protocol

from botocore.exceptions import BotoCoreError

from infra.errors import GristmillError, UsageError
from infra.storage import local, s3, web
from infra.storage.files import BLOCK_BYTES, FileInfo
from infra.storage.hashing import HashingWriter, hash_of
from infra.storage.patterns import file_info, files_named
from infra.storage.uri import (
    SCHEMES,
    WEB,
    base_name,
    folder_name,
    is_local,
    join,
    local_path,
    normal_root,
    public_text,
    public_uri,
    scheme_of,
)

__all__ = [
    "BLOCK_BYTES",
    "SCHEMES",
    "FileInfo",
    "HashingWriter",
    "base_name",
    "content_hash",
    "create_exclusive",
    "delete",
    "delete_many",
    "exists",
    "expand",
    "filesystem",
    "folder_name",
    "is_local",
    "join",
    "list_files",
    "list_folders",
    "list_names",
    "local_path",
    "modified",
    "normal_root",
    "open_hashed",
    "open_read",
    "open_write",
    "public_text",
    "public_uri",
    "read_bytes",
    "read_range",
    "require_exclusive_create",
    "scheme_of",
    "write_bytes",
]


class Readable(Protocol):
    """The functions of a module whose files can be read."""

    def filesystem(self, uri: str) -> tuple[Any, str]: ...
    def open_read(self, uri: str) -> IO[bytes]: ...
    def read_bytes(self, uri: str) -> bytes: ...
    def read_range(self, uri: str, start: int, end: int) -> bytes: ...
    def exists(self, uri: str) -> bool: ...


class Place(Readable, Protocol):
    """The functions of a module whose files can be listed, written and deleted too."""

    def open_write(self, uri: str) -> contextlib.AbstractContextManager[IO[bytes]]: ...
    def write_bytes(self, uri: str, data: bytes) -> None: ...
    def create_exclusive(self, uri: str, data: bytes) -> None: ...
    def creates_exclusively(self, root: str) -> bool: ...
    def modified(self, uri: str) -> float | None: ...
    def list_files(self, folder: str) -> list[FileInfo]: ...
    def list_names(self, folder: str) -> Iterator[FileInfo]: ...
    def list_folders(self, folder: str) -> list[str]: ...
    def delete(self, uri: str) -> None: ...
    def delete_many(self, uris: Iterable[str]) -> None: ...


def _place(uri: str) -> Place:
    scheme = scheme_of(uri)
    if scheme == "file":
        return local
    if scheme == "s3":
        return s3
    raise UsageError(
        f"{public_uri(uri)}: a web server is only read from; give a directory or s3://"
    )


def _readable(uri: str) -> Readable:
    return web if scheme_of(uri) in WEB else _place(uri)


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system of `uri` and the path to use with it, for libraries that take both."""
    return _readable(uri).filesystem(uri)


def open_read(uri: str) -> IO[bytes]:
    """A binary stream over the file, seekable where the place allows it."""
    return _readable(uri).open_read(uri)


def read_bytes(uri: str) -> bytes:
    """The whole file. Raises FileNotFoundError."""
    return _readable(uri).read_bytes(uri)


def read_range(uri: str, start: int, end: int) -> bytes:
    """Bytes [start, end) of the file, as far as it goes.

    A web server that gives no parts of a file costs everything before `end`.
    """
    return _readable(uri).read_range(uri, start, end) if end > start else b""


def open_write(uri: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    """A binary stream whose file appears, whole, when the block ends; after an exception nothing
    is left, and a file that was there before is as it was."""
    return _place(uri).open_write(uri)


@contextlib.contextmanager
def open_hashed(uri: str) -> Iterator[HashingWriter]:
    """`open_write` that counts and hashes: after the block, `size_bytes` and `sha256` of the stream
    are those of the file."""
    with open_write(uri) as stream, HashingWriter(stream) as hashed:
        yield hashed


def write_bytes(uri: str, data: bytes) -> None:
    """Write or replace the file in one step."""
    _place(uri).write_bytes(uri, data)


def create_exclusive(uri: str, data: bytes) -> None:
    """Create the file with this content if nobody has yet.

    Raises FileExistsError to all writers but one.
    """
    _place(uri).create_exclusive(uri, data)


def require_exclusive_create(root: str) -> None:
    """Refuse a store that ignores `If-None-Match`: two writers there could both believe they won.

    Raises UsageError when nothing can be written below `root`.
    """
    try:
        honoured = _place(root).creates_exclusively(root)
    except (OSError, BotoCoreError) as error:
        raise UsageError(
            f"{root}: cannot write there ({_one_line(error)}); check the path, the bucket and "
            "your rights"
        ) from None
    if not honoured:
        raise GristmillError(
            f"{root}: this store ignores If-None-Match, two runs could overwrite each other; "
            "use a store that honours it"
        )


def exists(uri: str) -> bool:
    """Whether a file or folder is there."""
    return _readable(uri).exists(uri)


def modified(uri: str) -> float | None:
    """When the file was last written, in seconds since 1970; None when no such file is there."""
    return _place(uri).modified(uri)


def list_files(folder: str) -> list[FileInfo]:
    """All files below `folder`, sorted by relative path; empty when the folder does not exist."""
    return _place(folder).list_files(folder)


def list_names(folder: str) -> Iterator[FileInfo]:
    """The files directly in `folder`, in no promised order, for folders too large to hold."""
    return _place(folder).list_names(folder)


def list_folders(folder: str) -> list[str]:
    """Names of the folders directly in `folder`, sorted."""
    return _place(folder).list_folders(folder)


def expand(pattern: str) -> list[FileInfo]:
    """The files that a glob, a directory, or a single file's path or URI names, sorted by URI.

    In a directory, files and folders whose name starts with `_` or `.` do not count. Raises
    UsageError when there are none.
    """
    scheme = scheme_of(pattern)
    try:
        if scheme in WEB:  # lists nothing, and `?` begins a query
            return [file_info(web.info(pattern), scheme)]
        found = files_named(*filesystem(pattern), scheme)
    except FileNotFoundError:
        shown = public_uri(pattern)
        raise UsageError(f"{shown}: not found, or its server cannot be reached") from None
    except (OSError, BotoCoreError) as error:
        said = _one_line(error).removeprefix(f"{public_uri(pattern)}: ")
        raise UsageError(
            f"{public_uri(pattern)}: cannot be read ({said}); check the address and your rights"
        ) from None
    if not found:
        raise UsageError(
            f"{public_uri(pattern)}: no such file; give a file, a directory, a quoted glob, s3://"
            " or https://, or an artifact that `gristmill ls` shows"
        )
    return found


def delete(uri: str) -> None:
    """Remove a file or a folder with all it holds; nothing happens when it is not there."""
    _place(uri).delete(uri)


def delete_many(uris: Iterable[str]) -> None:
    """Remove these files, on S3 a thousand a request; one that is not there is skipped."""
    for place, group in groupby(uris, key=_place):
        place.delete_many(group)


def content_hash(uri: str) -> str:
    """SHA-256 of the file's bytes, hexadecimal."""
    with open_read(uri) as stream:
        return hash_of(stream)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
