"""Files by URI: local paths, `s3://` and, read-only, `https://`. Nobody else opens a remote path.

Promises: a written file appears whole or not at all; `create_exclusive` lets exactly one writer win (a hard link locally,
`If-None-Match: *` on S3); listings are sorted by path. URIs are plain strings; a local path needs no scheme.
"""

import contextlib
import hashlib
import io
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import fsspec
from botocore.exceptions import BotoCoreError

from infra.errors import GristmillError, UsageError, nearest
from infra.settings import settings

SCHEMES = ("file", "s3", "https", "http")
BLOCK_BYTES = 1 << 22
PART_BYTES = 5 << 20
CREATE_ATTEMPTS = 10
MISTYPED = re.compile(r"(file|s3[an]?|https?):/?(?!/)")


@dataclass(frozen=True)
class FileInfo:
    """A file of a listing: its URI, its path relative to the listed folder, size, and the store's ETag where it has one."""

    uri: str
    path: str
    size_bytes: int
    modified: float = 0.0
    etag: str = ""


def is_local(uri: str) -> bool:
    """Whether `uri` is on this machine's file system."""
    return scheme_of(uri) == "file"


def scheme_of(uri: str) -> str:
    """The URI's scheme, `file` for a plain path. Raises UsageError for one that is not supported."""
    scheme = uri.split("://", 1)[0] if "://" in uri else "file"
    if scheme not in SCHEMES:
        raise UsageError(f"{uri}: unknown scheme '{scheme}://'{nearest(scheme.lower(), SCHEMES)}")
    if MISTYPED.match(uri):
        raise UsageError(
            f"{uri}: '{uri.split(':')[0]}:' needs two slashes; write {uri.split(':')[0]}://"
        )
    if scheme == "s3" and not urlsplit(uri).netloc:
        raise UsageError(f"{uri}: no bucket; write s3://bucket/prefix")
    return scheme


def local_path(uri: str) -> str:
    """The file-system path of a local URI."""
    return uri.removeprefix("file://")


@cache
def _remote(scheme: str) -> Any:
    if scheme == "s3":
        endpoint = settings().s3_endpoint
        return fsspec.filesystem(
            "s3",
            endpoint_url=endpoint,
            use_listings_cache=False,
            client_kwargs={"region_name": settings().s3_region},
            config_kwargs={
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
        )
    return fsspec.filesystem("https")


os.register_at_fork(after_in_child=_remote.cache_clear)


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system of `uri` and the path to use with it (for libraries that take both)."""
    scheme = scheme_of(uri)
    if scheme == "file":
        return fsspec.filesystem("file"), os.path.abspath(local_path(uri))
    if scheme == "s3":
        return _remote("s3"), uri[len("s3://") :].rstrip("/")
    return _remote("https"), uri


def join(uri: str, *parts: str) -> str:
    """`uri/part/part`."""
    return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts)])


def normal_root(uri: str) -> str:
    """The lake's root in its one spelling: an absolute local path, or `s3://bucket/prefix`. Raises UsageError for others."""
    if uri and scheme_of(uri) == "s3":
        return uri.rstrip("/")
    if not uri or not is_local(uri):
        raise UsageError(f"'{uri}': the lake must be a directory or s3://bucket/prefix")
    path = os.path.abspath(local_path(uri))
    if os.path.exists(path) and not os.path.isdir(path):
        raise UsageError(f"{uri}: is a file; the lake must be a directory")
    return path


def open_read(uri: str) -> IO[bytes]:
    """A binary stream over the file, seekable where the store allows it."""
    if is_local(uri):
        return Path(local_path(uri)).open("rb")
    fs, path = filesystem(uri)
    stream = fs.open(path, "rb", block_size=BLOCK_BYTES)
    if scheme_of(uri) != "s3" and not _has_ranges(stream):
        stream.close()
        stream = io.BufferedReader(_Forward(fs.open(path, "rb", block_size=0)), BLOCK_BYTES)
    opened: IO[bytes] = stream
    return opened


def _has_ranges(stream: Any) -> bool:
    """Whether the web server gives parts of the file: the last byte is asked for."""
    if not stream.size:
        return False
    try:
        stream.seek(stream.size - 1)
        stream.read(1)
        stream.seek(0)
    except ValueError:
        return False
    return True


class _Forward(io.RawIOBase):
    """A web response that can only be read from its beginning to its end."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data: bytes = self._response.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._response.close()
        super().close()


def read_bytes(uri: str) -> bytes:
    """The whole file. Raises FileNotFoundError."""
    with open_read(uri) as stream:
        return stream.read()


def read_range(uri: str, start: int, end: int) -> bytes:
    """Bytes [start, end) of the file, as far as it goes. A web server without ranges costs everything before `end`."""
    if end <= start:
        return b""
    if scheme_of(uri) == "s3":
        fs, path = filesystem(uri)
        try:
            data: bytes = fs.cat_file(path, start=start, end=end)
        except OSError as error:
            if "InvalidRange" in repr(error.__cause__):
                return b""
            raise
        return data
    with open_read(uri) as stream:
        if stream.seekable():
            stream.seek(start)
        else:
            while start > 0 and (skipped := len(stream.read(min(start, BLOCK_BYTES)))):
                start, end = start - skipped, end - skipped
        return stream.read(end - start)


@contextlib.contextmanager
def open_write(uri: str) -> Iterator[IO[bytes]]:
    """A binary stream whose file appears, whole, when the block ends; after an exception nothing is left."""
    if not is_local(uri):
        fs, path = filesystem(uri)
        stream = fs.open(path, "wb", block_size=PART_BYTES)
        try:
            yield stream
            stream.close()
        except BaseException:
            stream.closed = True
            stream.discard()
            raise
        return
    target = Path(local_path(uri))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(uri: str, data: bytes) -> None:
    """Write or replace the file in one step."""
    if is_local(uri):
        with open_write(uri) as stream:
            stream.write(data)
    else:
        fs, path = filesystem(uri)
        fs.pipe_file(path, data)


def create_exclusive(uri: str, data: bytes) -> None:
    """Create the file with this content if nobody has yet. Raises FileExistsError to all writers but one."""
    if is_local(uri):
        target = Path(local_path(uri))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return
    fs, path = filesystem(uri)
    bucket, _, key = path.partition("/")
    for attempt in range(1, CREATE_ATTEMPTS + 1):
        try:
            fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
            return
        except OSError as error:
            said = f"{error!r} {error.__cause__!r}"
            if isinstance(error, FileExistsError) or "PreconditionFailed" in said:
                raise FileExistsError(uri) from None
            if "ConditionalRequestConflict" not in said or attempt == CREATE_ATTEMPTS:
                raise


def require_exclusive_create(root: str) -> None:
    """Refuse an object store that ignores `If-None-Match`: two writers there could both believe they won.

    Raises UsageError when nothing can be written below `root`.
    """
    probe = join(root, "_probe", uuid.uuid4().hex)
    try:
        if is_local(root):
            os.makedirs(local_path(root), exist_ok=True)
            return
        create_exclusive(probe, b"1")
    except (OSError, BotoCoreError) as error:
        raise UsageError(
            f"{root}: cannot write there ({' '.join(str(error).split())}); check the path, the bucket and your rights"
        ) from None
    try:
        create_exclusive(probe, b"2")
    except FileExistsError:
        return
    finally:
        delete(probe)
    raise GristmillError(
        f"{root}: this store ignores If-None-Match, two runs could overwrite each other; use a store that honours it"
    )


def exists(uri: str) -> bool:
    """Whether a file or folder is there."""
    fs, path = filesystem(uri)
    return bool(fs.exists(path))


def list_files(folder: str) -> list[FileInfo]:
    """All files below `folder`, sorted by relative path; empty when the folder does not exist."""
    if is_local(folder):
        base = Path(local_path(folder))
        found = []
        for directory, _, names in os.walk(base):
            for name in names:
                full = Path(directory, name)
                with contextlib.suppress(FileNotFoundError):
                    stat = full.stat()
                    found.append(
                        FileInfo(
                            str(full),
                            full.relative_to(base).as_posix(),
                            stat.st_size,
                            stat.st_mtime,
                        )
                    )
        return sorted(found, key=lambda f: f.path)
    fs, path = filesystem(folder)
    try:
        entries = fs.find(path, detail=True)
    except FileNotFoundError:
        return []
    return sorted(
        (_remote_info(folder, entry, path) for entry in entries.values() if _is_file(entry)),
        key=lambda f: f.path,
    )


def _is_file(entry: dict[str, Any]) -> bool:
    """Not a folder, nor the empty object that S3A leaves in a folder's place."""
    return bool(entry["type"] == "file") and not str(entry["name"]).endswith("/")


def _remote_info(uri: str, entry: dict[str, Any], base: str = "") -> FileInfo:
    scheme = scheme_of(uri)
    name = entry["name"]
    full = f"s3://{name}" if scheme == "s3" else name
    modified = entry.get("LastModified")
    etag = str(entry.get("ETag", entry.get("etag", "")) or "").strip('"')
    relative = name[len(base) :].lstrip("/") if base else name.rsplit("/", 1)[-1]
    return FileInfo(
        full, relative, int(entry.get("size") or 0), modified.timestamp() if modified else 0.0, etag
    )


def expand(pattern: str) -> list[FileInfo]:
    """The files that a glob, a directory, or a single file's path or URI names. Raises UsageError when there are none.

    In a directory, files and folders whose name starts with `_` or `.` do not count.
    """
    fs, path = filesystem(pattern)
    try:
        entries = _entries(fs, path, scheme_of(pattern) in ("http", "https"))
    except FileNotFoundError:
        raise UsageError(f"{pattern}: not found, or its server cannot be reached") from None
    except (OSError, BotoCoreError) as error:
        raise UsageError(
            f"{pattern}: cannot be read ({' '.join(str(error).split())}); check the address and your rights"
        ) from None
    if not entries:
        raise UsageError(
            f"{pattern}: no such file; give a file, a directory, a quoted glob, s3:// or https://"
        )
    return sorted((_remote_info(pattern, entry) for entry in entries), key=lambda f: f.uri)


def _entries(fs: Any, path: str, web: bool) -> list[dict[str, Any]]:
    if web or fs.isfile(path):
        return [fs.info(path)]
    if any(c in path for c in "*?["):
        return [e for e in fs.glob(path, detail=True).values() if _is_file(e)]
    if fs.isdir(path):
        found = [e for e in fs.find(path, detail=True).values() if _is_file(e)]
        return [
            e
            for e in found
            if not any(
                part.startswith(("_", ".")) for part in e["name"][len(path) :].strip("/").split("/")
            )
        ]
    return []


def delete(uri: str) -> None:
    """Remove a file or a folder with all it holds; nothing happens when it is not there."""
    if is_local(uri):
        path = local_path(uri)
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink(missing_ok=True)
        return
    fs, path = filesystem(uri)
    with contextlib.suppress(FileNotFoundError):
        fs.rm(path, recursive=True)


def content_hash(uri: str) -> str:
    """SHA-256 of the file's bytes, hexadecimal."""
    return content_hashes(uri, 0)[1]


def content_hashes(uri: str, end: int) -> tuple[str, str]:
    """SHA-256, hexadecimal, of the file's first `end` bytes and of all of them, in one reading."""
    head, whole = hashlib.sha256(), hashlib.sha256()
    place = 0
    with open_read(uri) as stream:
        while block := stream.read(BLOCK_BYTES):
            head.update(block[: max(0, end - place)])
            whole.update(block)
            place += len(block)
    return head.hexdigest(), whole.hexdigest()
