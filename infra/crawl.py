"""The crawl files of a run: bound once, each hashed at most once in its life.

A file counts with its source, its own name, its size and its content: SHA-256, or the store's ETag
where it has one. Its source is what the user declares (`web=crawl/*.warc.gz`), else the name of the
folder that it is in. The hash of a local file is remembered in the lake (`_crawl-hashes.parquet`:
path, size, mtime -> hash), so a crawl that grew by one file costs reading one.
"""

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.errors import UsageError
from infra.manifest import digest_of
from infra.show import well_formed
from infra.storage import FileInfo

MEMORY = "_crawl-hashes.parquet"
READERS = 4
KEY_BYTES = 8
DECLARED = re.compile(r"([A-Za-z0-9._-]+)=(.+)", re.DOTALL)
TOP = "crawl"
"""The source of files that are in no folder with a name."""
SETTLED_SECONDS = 2.0
"""A file changed within the clock's resolution may change again without a new mtime: the hash of
one so young is not remembered yet."""
SCHEMA = pa.schema(
    [("path", pa.string()), ("size", pa.int64()), ("mtime", pa.float64()), ("sha256", pa.string())]
)
Key = tuple[str, int, float]
Told = Callable[[int, int], None]
"""To be told how many of the files that must be read have been."""
_TOLD: ContextVar[Told] = ContextVar("told", default=lambda done, total: None)


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
    source: str
    """Declared by the user, else the folder's name."""
    copy: int = 0
    """Which of the files with this content it is: 0, 1 ..."""
    modified: float = field(default=0.0, compare=False)
    """mtime before the content was read, where it may be remembered; 0 for other files."""

    @property
    def key(self) -> bytes:
        """8 bytes that tell it from all other files of the crawl, whatever its name: content and
        copy."""
        text = f"{self.content} {self.copy}"
        return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest()


@contextlib.contextmanager
def telling(told: Told) -> Iterator[None]:
    """Within the block, `sources_of` tells how many files it has read."""
    token = _TOLD.set(told)
    try:
        yield
    finally:
        _TOLD.reset(token)


def declared(reference: str) -> tuple[str, str]:
    """(source, pattern) of `source=pattern`; the source is empty where none is declared: a name has
    letters, digits, `.`, `_` and `-` alone, so a URI or path with a `=` in it stays whole."""
    match = DECLARED.fullmatch(reference)
    return (match[1], match[2]) if match else ("", reference)


def public_reference(reference: str) -> str:
    """`source=pattern` as it may be shown and stored: its address without login and query."""
    source, pattern = declared(reference)
    shown = storage.public_uri(pattern)
    return f"{source}={shown}" if source else shown


def sources_of(references: Iterable[str], lake_root: str) -> tuple[Source, ...]:
    """The crawl files that globs, directories, paths and URIs name, each file once; before a
    pattern may stand a source (`declared`).

    Sorted by name and content. Files that the lake remembers are not read; nothing is written.
    Raises UsageError for a pattern that names none, for a file with two declared sources, and for
    one that may not be read.
    """
    listed = time.time()
    found: dict[str, FileInfo] = {}
    names: dict[str, str] = {}
    for source, pattern in map(declared, references):
        if not pattern:
            raise UsageError("input: a name is empty; is a variable without a value?")
        for info in storage.expand(pattern):
            found[info.uri] = info
            known = names.setdefault(info.uri, source)
            if source and known and known != source:
                raise UsageError(
                    f"{storage.public_uri(info.uri)}: is declared as '{known}' and as '{source}';"
                    " a file has one source"
                )
            names[info.uri] = known or source
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
        Source(
            uri,
            storage.base_name(uri),
            info.size_bytes,
            contents[uri],
            names[uri] or storage.folder_name(uri) or TOP,
            modified=settled(info),
        )
        for uri, info in found.items()
    ]
    return tuple(sorted(_copies(made), key=lambda s: (s.name, s.content, s.copy)))


def _copies(sources: Iterable[Source]) -> Iterator[Source]:
    """The files, those of one content numbered. Copies with the same source and name may change
    places when they are moved: nothing but their URIs tells them apart."""
    ordered = sorted(sources, key=lambda s: (s.content, s.source, s.name, s.uri))
    for _, copies in groupby(ordered, key=lambda s: s.content):
        for number, source in enumerate(copies):
            yield replace(source, copy=number)


def remember(sources: Iterable[Source], lake_root: str) -> None:
    """Have the lake remember the contents of these files, of those that have not changed since.

    Of two runs that do so at once the last one's memory stays: the other's files are read again.
    """
    known = _remembered(lake_root)
    keys = {(s.uri, s.size_bytes, s.modified): s.content for s in sources if s.modified}
    fresh = {
        key: content
        for key, content in keys.items()
        if key not in known
        and key[0] == well_formed(key[0])  # the memory cannot hold another path
        and storage.modified(key[0]) == key[2]
    }
    if fresh:
        # Where nothing can be written the step says so; here it is only a memory.
        with contextlib.suppress(OSError):
            _write_memory(lake_root, known | fresh)


def crawl_digest(sources: Iterable[Source]) -> str:
    """What a step's identity says of these files: sources, names, sizes and contents, not where
    they are."""
    return digest_of(sorted([s.source, s.name, s.size_bytes, s.content] for s in sources))


def _contents(files: list[FileInfo], lake_root: str) -> dict[str, str]:
    """URI -> content of each file; only files that are not remembered are read."""
    known = _remembered(lake_root) if any(not info.etag for info in files) else {}
    keys = {info.uri: (info.uri, info.size_bytes, info.modified) for info in files if not info.etag}
    missing = [uri for uri, key in keys.items() if key not in known]
    hashed = {}
    with ThreadPoolExecutor(READERS) as pool:
        for uri, content in zip(missing, pool.map(storage.content_hash, missing), strict=True):
            hashed[uri] = content
            _TOLD.get()(len(hashed), len(missing))
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
