"""Files of a web server, read-only, through fsspec.

A server that gives parts of a file makes a seekable stream; one that sends only all of it (also one
that claims to give parts and does not) makes a stream that goes forward.
"""

import io
import os
from functools import cache
from typing import IO, Any

import fsspec

from infra.storage.files import BLOCK_BYTES


@cache
def _client() -> Any:
    return fsspec.filesystem("https")


# See infra/storage/s3.py: a forked child must not wait on its parent's connections.
os.register_at_fork(after_in_child=_client.cache_clear)


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system and the path to use with it, which is the URI itself."""
    return _client(), uri


def open_read(uri: str) -> IO[bytes]:
    """A binary stream, seekable where the server gives parts. Raises FileNotFoundError."""
    stream = _client().open(uri, "rb", block_size=BLOCK_BYTES)
    if not _has_ranges(stream):
        stream.close()
        stream = io.BufferedReader(_Forward(_client().open(uri, "rb", block_size=0)), BLOCK_BYTES)
    opened: IO[bytes] = stream
    return opened


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
    return bool(_client().exists(uri))


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


class _Forward(io.RawIOBase):
    """A response that can only be read from its beginning to its end."""

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
