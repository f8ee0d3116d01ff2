"""The crawl files of a run: bound once, each hashed at most once in its life.

A file counts with its own name, its size and its content: SHA-256, or the store's ETag where it has
one. The hash of a local file is remembered in the lake (`_crawl-hashes.parquet`: path, size, mtime
-> hash), so a crawl that grew by one file costs reading one.
"""

import contextlib
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.errors import UsageError
from infra.manifest import digest_of
from infra.storage import FileInfo

MEMORY = "_crawl-hashes.parquet"
READERS = 4
SETTLED_SECONDS = 2.0
"""A file changed within the clock's resolution may change again without a new mtime: the hash of
one so young is not remembered yet."""
SCHEMA = pa.schema(
    [("path", pa.string()), ("size", pa.int64()), ("mtime", pa.float64()), ("sha256", pa.string())]
)
Key = tuple[str, int, float]


@dataclass(frozen=True)
class Source:
    """A raw crawl file."""

    uri: str
    """Where it is."""
    name: str
    """Its own name."""
    size_bytes: int
    content: str
    """What it holds: SHA-256, or the ETag of a remote file."""
    modified: float = field(default=0.0, compare=False)
    """mtime before the content was read, where it may be remembered; 0 for other files."""


def sources_of(patterns: Iterable[str], lake_root: str) -> tuple[Source, ...]:
    """The crawl files that globs, directories, paths and URIs name, each file once.

    Sorted by name and content. Files that the lake remembers are not read; nothing is written.
    Raises UsageError for a pattern that names none and for a file that may not be read.
    """
    listed = time.time()
    found = {info.uri: info for pattern in patterns for info in storage.expand(pattern)}
    try:
        contents = _contents(list(found.values()), lake_root)
    except PermissionError as error:
        raise UsageError(
            f"{error.filename}: cannot be read ({error.strerror}); check your rights"
        ) from None

    def settled(info: FileInfo) -> float:
        known = storage.is_local(info.uri) and info.modified < listed - SETTLED_SECONDS
        return info.modified if known else 0.0

    made = [
        Source(uri, storage.base_name(uri), info.size_bytes, contents[uri], settled(info))
        for uri, info in found.items()
    ]
    return tuple(sorted(made, key=lambda s: (s.name, s.content, s.uri)))


def remember(sources: Iterable[Source], lake_root: str) -> None:
    """Have the lake remember the contents of these files, of those that have not changed since.

    Of two runs that do so at once the last one's memory stays: the other's files are read again.
    """
    known = _remembered(lake_root)
    keys = {(s.uri, s.size_bytes, s.modified): s.content for s in sources if s.modified}
    fresh = {
        key: content
        for key, content in keys.items()
        if key not in known and storage.modified(key[0]) == key[2]
    }
    if fresh:
        # Where nothing can be written the step says so; here it is only a memory.
        with contextlib.suppress(OSError):
            _write_memory(lake_root, known | fresh)


def crawl_digest(sources: Iterable[Source]) -> str:
    """What a step's identity says of these files: names, sizes and contents, not where they are."""
    return digest_of(sorted([s.name, s.size_bytes, s.content] for s in sources))


def _contents(files: list[FileInfo], lake_root: str) -> dict[str, str]:
    """URI -> content of each file; only files that are not remembered are read."""
    known = _remembered(lake_root) if any(not info.etag for info in files) else {}
    keys = {info.uri: (info.uri, info.size_bytes, info.modified) for info in files if not info.etag}
    missing = [uri for uri, key in keys.items() if key not in known]
    with ThreadPoolExecutor(READERS) as pool:
        hashed = dict(zip(missing, pool.map(storage.content_hash, missing), strict=True))
    return {i.uri: i.etag or hashed.get(i.uri) or known[keys[i.uri]] for i in files}


def _remembered(lake_root: str) -> dict[Key, str]:
    """What the lake remembers; nothing where that is missing or damaged: it is only a memory."""
    try:
        data = storage.read_bytes(storage.join(lake_root, MEMORY))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    # pyarrow says OSError too for what it cannot make sense of.
    with contextlib.suppress(pa.ArrowException, OSError):
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
        if table.schema != SCHEMA or any(column.null_count for column in table.columns):
            return {}
        columns = table.to_pydict()
        keys = zip(columns["path"], columns["size"], columns["mtime"], strict=True)
        return dict(zip(keys, columns["sha256"], strict=True))
    return {}


def _write_memory(lake_root: str, hashes: dict[Key, str]) -> None:
    """Write the memory whole, of each path the last one."""
    newest = {path: (size, mtime, sha256) for (path, size, mtime), sha256 in hashes.items()}
    rows = [(path, *rest) for path, rest in sorted(newest.items())]
    columns = [list(column) for column in zip(*rows, strict=True)]
    with storage.open_write(storage.join(lake_root, MEMORY)) as stream:
        table = pa.table(columns, schema=SCHEMA)
        pq.write_table(table, stream, compression="zstd", write_page_checksum=True)
