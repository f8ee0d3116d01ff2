"""A crawl file to seek in, where a failing network is an error that can be tried again, and never
looks like damage."""

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from infra import storage
from jobs.crawl.ranges import Range


@contextmanager
def local(uri: str, part: Range | None) -> Iterator[IO[bytes]]:
    """A seekable stream over the file. A remote file is copied to local disk, one that is read in
    parts is not: of it only what is asked for is fetched."""
    if storage.is_local(uri):
        with storage.open_read(uri) as stream:
            yield stream
    elif part is not None:
        with storage.open_read(uri) as stream:
            try:
                yield cast(IO[bytes], RemoteStream(stream))
            except StoreFailed as failure:
                raise failure.error from None
    else:
        with tempfile.TemporaryFile() as copy:
            with storage.open_read(uri) as stream:
                shutil.copyfileobj(stream, copy, storage.BLOCK_BYTES)
            copy.seek(0)
            yield copy


class StoreFailed(Exception):
    """A failure of the store. No OSError, so that readers do not take it for a broken file."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class RemoteStream(io.RawIOBase):
    """A stream over a remote file; its failures are told from what its bytes make others raise."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except Exception as error:
            raise StoreFailed(error) from error

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
