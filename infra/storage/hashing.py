"""SHA-256 of files: taken while they are written, or in one reading."""

import hashlib
import io
from typing import IO, Any

from infra.storage.files import BLOCK_BYTES


class HashingWriter(io.RawIOBase):
    """A stream that counts and hashes what goes through it to another one.

    Everything that writes to a file object can write to it (pyarrow's ParquetWriter, gzip,
    TextIOWrapper); it cannot seek. `size_bytes` and `sha256` stand for what was written so far and
    can be read after the stream is closed. Closing it leaves the other stream open.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written, hexadecimal."""
        return self._hash.hexdigest()

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """Write all of a bytes-like object; its length in bytes."""
        self._stream.write(data)
        self._hash.update(data)
        written = memoryview(data).nbytes
        self.size_bytes += written
        return written

    def tell(self) -> int:
        """Bytes written so far."""
        return self.size_bytes

    def flush(self) -> None:
        """Hand buffered bytes on to the place; they are readable only when the block ends."""
        if not self.closed:
            self._stream.flush()


def hash_of(stream: IO[bytes]) -> str:
    """SHA-256 of all bytes of the stream, hexadecimal."""
    whole = hashlib.sha256()
    while block := stream.read(BLOCK_BYTES):
        whole.update(block)
    return whole.hexdigest()
