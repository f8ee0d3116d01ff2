"""Files of a web server, read-only, through fsspec.

A server that gives parts of a file makes a seekable stream; one that sends only all of it (also one
that claims to give parts and does not) makes a stream that goes forward. A query may be a password
(presigned addresses): no error repeats it. Where an address may lead is `infra.storage.strangers`'.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from functools import cache
from typing import IO, Any

import fsspec
from aiohttp import ClientError, ClientResponseError

from infra.errors import UsageError
from infra.storage.files import BLOCK_BYTES
from infra.storage.strangers import LocalAddressError, session
from infra.storage.uri import public_uri


@cache
def _client() -> Any:
    return fsspec.filesystem("https", get_client=session)


# See infra/storage/s3.py: a forked child must not wait on its parent's connections.
os.register_at_fork(after_in_child=_client.cache_clear)


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system and the path to use with it, which is the URI itself."""
    return _client(), uri


@contextlib.contextmanager
def spoken(uri: str) -> Iterator[None]:
    """What fails within the block, said without the address's password or query: UsageError for an
    address that may not be reached, FileNotFoundError, OSError."""
    try:
        yield
    except (ClientError, OSError, ValueError) as error:
        causes = list(_causes(error))
        shown = public_uri(uri)
        if local := next((e for e in causes if isinstance(e, LocalAddressError)), None):
            raise UsageError(
                f"{shown}: {local}; GRISTMILL_ALLOW_LOCAL_ADDRESSES=true allows it"
            ) from None
        status = next((e.status for e in causes if isinstance(e, ClientResponseError)), None)
        if isinstance(error, FileNotFoundError) and status in (None, 404, 410):
            raise FileNotFoundError(shown) from None
        said = f"the server answers {status}" if status else type(causes[-1]).__name__
        raise OSError(f"{shown}: {said}") from None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "os_error", None) or error.__cause__


def info(uri: str) -> dict[str, Any]:
    """What the server says of the file, as fsspec does. Raises as `spoken` says."""
    with spoken(uri):
        found: dict[str, Any] = _client().info(uri)
    return found


def open_read(uri: str) -> IO[bytes]:
    """A binary stream, seekable where the server gives parts. Raises FileNotFoundError."""
    with spoken(uri):
        stream = _client().open(uri, "rb", block_size=BLOCK_BYTES)
        if not _has_ranges(stream):
            stream.close()
            stream = _client().open(uri, "rb", block_size=0)
            return io.BufferedReader(_Stream(uri, stream, False), BLOCK_BYTES)
        return io.BufferedReader(_Stream(uri, stream, True), BLOCK_BYTES)


def read_bytes(uri: str) -> bytes:
    """The whole file. Raises FileNotFoundError."""
    with open_read(uri) as stream:
        return stream.read()


def read_range(uri: str, start: int, end: int) -> bytes:
    """Bytes [start, end); where the server gives no parts, everything before `end` is sent."""
    with open_read(uri) as stream:
        if stream.seekable():
            stream.seek(start)
        else:
            while start > 0 and (skipped := len(stream.read(min(start, BLOCK_BYTES)))):
                start, end = start - skipped, end - skipped
        return stream.read(end - start)


def exists(uri: str) -> bool:
    """Whether the server has the file."""
    try:
        info(uri)
    except OSError:
        return False
    return True


def _has_ranges(stream: Any) -> bool:
    """Whether the server gives parts of the file: the last byte is asked for."""
    if not stream.size:
        return False
    try:
        stream.seek(stream.size - 1)
        stream.read(1)
        stream.seek(0)
    except ValueError:
        return False
    return True


class _Stream(io.RawIOBase):
    """A response whose errors say no password; one that is not seekable goes forward only."""

    def __init__(self, uri: str, response: Any, seekable: bool) -> None:
        self._uri = uri
        self._response = response
        self._seekable = seekable

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._seekable

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if not self._seekable:
            raise io.UnsupportedOperation("seek")
        return int(self._response.seek(offset, whence))

    def tell(self) -> int:
        return int(self._response.tell())

    def readinto(self, buffer: Any) -> int:
        with spoken(self._uri):
            data: bytes = self._response.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._response.close()
        super().close()
