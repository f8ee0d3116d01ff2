"""A stream over a crawl file that tells its store's failures from what its bytes make others raise,
and counts how far it was read."""

import io
from typing import IO, Any


class StoreFailed(Exception):
    """A failure of the store or disk. No OSError, so that readers do not take it for a broken
    file."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class CountedStream(io.RawIOBase):
    """A seekable stream; `reached` is the place after the last byte that was ever read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._position = stream.tell()
        self.reached = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = self._stream.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._stream.read(size)
        except Exception as error:
            raise StoreFailed(error) from error
        self._position += len(data)
        self.reached = max(self.reached, self._position)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
