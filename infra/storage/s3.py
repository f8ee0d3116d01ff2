"""Objects of an S3 store, through s3fs: one connection pool a process, no cache of listings.

An object is whole by nature: an upload in parts appears when it is completed, and an aborted one is
taken back, so that its parts cost nothing. `create_exclusive` is a PUT with `If-None-Match: *`.
Keys that end in `/` are the marks that Spark's S3A leaves for folders and are never listed.
"""

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import IO, Any

import fsspec

from infra.settings import settings
from infra.storage.files import BLOCK_BYTES, FileInfo
from infra.storage.uri import join

SCHEME = "s3://"
PART_BYTES = 5 << 20
"""Size of an uploaded part: S3's minimum. A larger object's parts are sent as they fill."""
PAGE_KEYS = 1000
"""Keys in one answer or one request: S3's maximum, for listings and for deletions."""
CREATE_ATTEMPTS = 10


@cache
def store() -> Any:
    """The file system of this process, by the settings; credentials as boto3 finds them."""
    return fsspec.filesystem(
        "s3",
        endpoint_url=settings().s3_endpoint,
        use_listings_cache=False,
        client_kwargs={"region_name": settings().s3_region},
        # Newer SDKs send checksums always, which many stores other than AWS's answer with an error.
        config_kwargs={
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
    )


# A forked child has the parent's connections but not the thread that serves them: it would wait
# for an answer for ever.
os.register_at_fork(after_in_child=store.cache_clear)


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system and `bucket/key`, the path to use with it."""
    return store(), uri.removeprefix(SCHEME).rstrip("/")


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix(SCHEME).rstrip("/").partition("/")
    return bucket, key


def open_read(uri: str) -> IO[bytes]:
    """A seekable binary stream over the object as it is now.

    Raises FileNotFoundError, and OSError on reading when the object is replaced meanwhile.
    """
    fs, path = filesystem(uri)
    stream: IO[bytes] = fs.open(path, "rb", block_size=BLOCK_BYTES)
    return stream


def read_bytes(uri: str) -> bytes:
    """The whole object in one request, so that one which is replaced often is read too."""
    fs, path = filesystem(uri)
    data: bytes = fs.cat_file(path)
    return data


def read_range(uri: str, start: int, end: int) -> bytes:
    """Bytes [start, end), as far as the object goes."""
    fs, path = filesystem(uri)
    try:
        data: bytes = fs.cat_file(path, start=start, end=end)
    except OSError as error:
        if "InvalidRange" in repr(error.__cause__):  # the range begins behind the object's end
            return b""
        raise
    return data


@contextlib.contextmanager
def open_write(uri: str) -> Iterator[IO[bytes]]:
    """A binary stream whose object replaces an older one when the block ends."""
    fs, path = filesystem(uri)
    stream = fs.open(path, "wb", block_size=PART_BYTES)
    try:
        yield stream
        stream.close()
    except BaseException:
        # Marked as closed first: the stream's destructor would otherwise complete the upload.
        stream.closed = True
        stream.discard()
        raise


def write_bytes(uri: str, data: bytes) -> None:
    """Write or replace the object in one request."""
    fs, path = filesystem(uri)
    fs.pipe_file(path, data)


def create_exclusive(uri: str, data: bytes) -> None:
    """Create the object, or raise FileExistsError."""
    bucket, key = _bucket_and_key(uri)
    for attempt in range(1, CREATE_ATTEMPTS + 1):
        try:
            store().call_s3("put_object", Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
            return
        except OSError as error:
            said = f"{error!r} {error.__cause__!r}"
            if isinstance(error, FileExistsError) or "PreconditionFailed" in said:
                raise FileExistsError(uri) from None
            # Two writers at once, neither done: S3 tells one of them to ask again.
            if "ConditionalRequestConflict" not in said or attempt == CREATE_ATTEMPTS:
                raise


def creates_exclusively(root: str) -> bool:
    """Whether the store honours `If-None-Match`, tried with an object below `root`."""
    probe = join(root, "_probe", os.urandom(16).hex())
    create_exclusive(probe, b"1")
    try:
        create_exclusive(probe, b"2")
    except FileExistsError:
        return True
    finally:
        delete(probe)
    return False


def exists(uri: str) -> bool:
    """Whether an object, or one below it, is there."""
    fs, path = filesystem(uri)
    return bool(fs.exists(path))


def modified(uri: str) -> float | None:
    """When the object was written, seconds since 1970 by the store's clock; None without it."""
    bucket, key = _bucket_and_key(uri)
    try:
        found = store().call_s3("head_object", Bucket=bucket, Key=key)
    except FileNotFoundError:
        return None
    return float(found["LastModified"].timestamp())


def list_files(folder: str) -> list[FileInfo]:
    """All objects below `folder`, sorted by relative path."""
    found = [info for page in _pages(folder, "") for info in _infos(folder, page)]
    return sorted(found, key=lambda info: info.path)


def list_names(folder: str) -> Iterator[FileInfo]:
    """The objects directly in `folder`, a page at a time, in the order of their keys."""
    for page in _pages(folder, "/"):
        yield from _infos(folder, page)


def list_folders(folder: str) -> list[str]:
    """Names of the folders directly in `folder`, sorted."""
    start = len(_prefix(folder))
    names = (
        common["Prefix"][start:].rstrip("/")
        for page in _pages(folder, "/")
        for common in page.get("CommonPrefixes", ())
    )
    return sorted(name for name in names if name)


def _prefix(folder: str) -> str:
    key = _bucket_and_key(folder)[1]
    return f"{key}/" if key else ""


def _pages(folder: str, delimiter: str) -> Iterator[dict[str, Any]]:
    """The answers to one listing; none when the bucket is not there."""
    asked = {
        "Bucket": _bucket_and_key(folder)[0],
        "Prefix": _prefix(folder),
        "Delimiter": delimiter,
        "MaxKeys": PAGE_KEYS,
    }
    while True:
        try:
            page: dict[str, Any] = store().call_s3("list_objects_v2", **asked)
        except FileNotFoundError:
            return
        yield page
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def _infos(folder: str, page: dict[str, Any]) -> Iterator[FileInfo]:
    bucket, start = _bucket_and_key(folder)[0], len(_prefix(folder))
    for entry in page.get("Contents", ()):
        if not entry["Key"].endswith("/"):
            yield FileInfo(
                f"{SCHEME}{bucket}/{entry['Key']}",
                entry["Key"][start:],
                int(entry["Size"]),
                entry["LastModified"].timestamp(),
                str(entry.get("ETag", "")).strip('"'),
            )


def delete(uri: str) -> None:
    """Remove an object and all below it; nothing happens when there is none."""
    fs, path = filesystem(uri)
    with contextlib.suppress(FileNotFoundError):
        fs.rm(path, recursive=True)


def delete_many(uris: Iterable[str]) -> None:
    """Remove these objects, PAGE_KEYS a request; one that is not there is skipped.

    Raises OSError that names the first object which the store refused to delete.
    """
    remaining = iter(uris)
    while batch := list(islice(remaining, PAGE_KEYS)):
        keys: defaultdict[str, list[str]] = defaultdict(list)
        for uri in batch:
            bucket, key = _bucket_and_key(uri)
            keys[bucket].append(key)
        for bucket, named in keys.items():
            objects = [{"Key": key} for key in named]
            asked = {"Objects": objects, "Quiet": True}
            answer = store().call_s3("delete_objects", Bucket=bucket, Delete=asked)
            # The request succeeds even where single objects were refused.
            for error in answer.get("Errors", ()):
                where, said = f"{SCHEME}{bucket}/{error['Key']}", error.get("Message", "")
                raise OSError(f"{where}: not deleted ({error.get('Code')}: {said})")
