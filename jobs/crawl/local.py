"""A crawl file to seek in, where a failing network or disk is an error that can be tried again, and
never looks like damage."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from infra import storage
from jobs.crawl.counted import CountedStream, StoreFailed
from jobs.crawl.ranges import Range


@contextmanager
def local(uri: str, part: Range | None) -> Iterator[CountedStream]:
    """A seekable stream over the file. A remote file is copied to local disk, one that is read in
    parts is not: of it only what is asked for is fetched."""
    with _seekable(uri, part) as stream:
        try:
            yield CountedStream(stream)
        except StoreFailed as failure:
            raise failure.error from None


@contextmanager
def _seekable(uri: str, part: Range | None) -> Iterator[IO[bytes]]:
    with storage.open_read(uri) as stream:
        if storage.is_local(uri) or part is not None:
            yield stream
        else:
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(stream, copy, storage.BLOCK_BYTES)
                copy.seek(0)
                yield copy
