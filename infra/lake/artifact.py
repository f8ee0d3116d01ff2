"""An artifact's place in the lake, and its manifest, verified."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.errors import DamagedError, GristmillError, UsageError, nearest
from infra.lake.damage import Damage, Stored
from infra.lake.rows import Stack, read_rows, stacks_of
from infra.lake.tokens import Tokens, documents_in, dtype_of, row_groups, split_of
from infra.manifest import MANIFEST_NAME, SHORT, FileEntry, Manifest

LIST_CHARS = 32
LIST_NAME = re.compile(rf"_FILES-[0-9a-f]{{{LIST_CHARS}}}\.parquet")


@dataclass(frozen=True)
class Artifact:
    """An artifact's place in the lake: it may be finished, half-written or not there yet."""

    lake_root: str
    kind: str
    name: str
    digest: str

    @property
    def path(self) -> str:
        """The artifact's folder below the lake's root."""
        return "/".join([self.kind, self.name, self.digest[:SHORT]])

    @property
    def uri(self) -> str:
        """The artifact's folder."""
        return storage.join(self.lake_root, self.path)

    def file(self, *parts: str) -> str:
        """The URI of a file in the folder."""
        return storage.join(self.uri, *parts)

    def manifest(self, *, hashes: bool = False) -> Manifest | None:
        """The verified manifest, or None when the artifact is not finished.

        Sizes of all files are always compared, contents when `hashes`. Raises DamagedError where a
        file is missing or differs.
        """
        manifest = self.read()
        if manifest is not None:
            for damage in Stored(self.lake_root, hashes=hashes).wrong(manifest.files)[:1]:
                raise DamagedError(
                    f"{self.at_root(damage.path)}: {damage.said}; `gristmill run` or"
                    f" `gristmill {manifest.step}` builds {self.path} again"
                )
        return manifest

    def sound(self) -> Manifest | None:
        """The verified manifest, None where the artifact is not finished or is damaged."""
        manifest, damage = self.examined(Stored(self.lake_root))
        return None if damage else manifest

    def examined(self, stored: Stored) -> tuple[Manifest | None, list[Damage]]:
        """The manifest, None where the artifact is not finished or the manifest itself is damaged;
        and all that is wrong, nothing for one that is not finished."""
        try:
            manifest = self.read()
        except DamagedError as error:
            said = str(error).partition(": ")[2]
            return None, [Damage(f"{self.path}/{MANIFEST_NAME}", said)]
        return manifest, stored.wrong(manifest.files) if manifest else []

    def legible(self) -> Manifest | None:
        """The manifest, whatever became of its files; None where the artifact is not finished or
        the manifest itself is damaged."""
        try:
            return self.read()
        except DamagedError:
            return None

    def read(self) -> Manifest | None:
        """The manifest, whatever became of the files that it names; None when not finished.

        For who only asks what is named. Raises DamagedError for a damaged manifest.
        """
        where = self.file(MANIFEST_NAME)
        try:
            data = storage.read_bytes(where)
        except FileNotFoundError:
            return None
        manifest = Manifest.from_json(data, where, self._files_beside)
        if not manifest.digest.startswith(self.digest):
            raise DamagedError(
                f"{where}: belongs to another artifact ({manifest.digest[:SHORT]});"
                " `gristmill verify --repair` removes it"
            )
        return manifest

    def require(self) -> Manifest:
        """The verified manifest; GristmillError when the artifact is not finished."""
        return self._finished(self.manifest())

    def known(self) -> Manifest:
        """As `read`; GristmillError when the artifact is not finished."""
        return self._finished(self.read())

    def _finished(self, manifest: Manifest | None) -> Manifest:
        if manifest is None:
            raise GristmillError(f"{self.uri}: not finished (no manifest); run its step first")
        return manifest

    def data_uris(self) -> list[str]:
        """The URIs of the result's files (no rejected rows), in the manifest's order."""
        return [self.at_root(entry.path) for entry in self.require().data_files()]

    def stacks(self) -> list[Stack]:
        """The shards of an artifact with rows of documents."""
        return stacks_of(self.require())

    def documents(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows that are left after every step, in the order of the shards.

        columns  of them, in this order; None: all (text too)

        Raises UsageError for an artifact without documents, and for a column that they lack.
        """
        manifest = self.require()
        stacks = stacks_of(manifest)
        known = [field["name"] for field in manifest.schema]
        wanted = known if columns is None else list(columns)
        if not stacks:
            raise UsageError(f"{self.path}: holds no documents; ask what it was made from")
        for name in wanted:
            if name not in known:
                raise UsageError(f"{self.path}: no column '{name}'{nearest(name, known)}")
        return (
            batch.select(wanted)
            for stack in stacks
            for batch in read_rows(self.lake_root, stack, wanted)
        )

    def tokens(self, split: str = "train") -> Iterator[tuple[bytes, Tokens]]:
        """(doc_id, tokens) of each document of a split, in the seeded order of its files; with
        `split_by: tail` a document is in both splits.

        Raises GristmillError for an artifact without this split.
        """
        manifest = self.require()
        found, dtype = split_of(self.uri, manifest, split), dtype_of(manifest)
        return (row for group in row_groups(self.uri, found) for row in documents_in(group, dtype))

    def at_root(self, path: str) -> str:
        """The URI of a path below the lake's root."""
        return storage.join(self.lake_root, path)

    def _files_beside(self, name: str) -> list[FileEntry]:
        if not LIST_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no list of files")
        try:
            data = storage.read_bytes(self.file(name))
        except FileNotFoundError:
            raise ValueError(f"{name} is missing") from None
        if name != list_name(data):
            raise ValueError(f"{name} is not what was written")
        return [FileEntry(**row) for row in pq.read_table(pa.BufferReader(data)).to_pylist()]


def file_list(files: Iterable[FileEntry]) -> bytes:
    """The list of files that stands beside a long manifest, as Parquet."""
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist([asdict(entry) for entry in files])
    pq.write_table(table, sink, compression="zstd")
    written: bytes = sink.getvalue().to_pybytes()
    return written


def list_name(data: bytes) -> str:
    """The name of such a file: by its content, so that the manifest vouches for it.

    Of two writers of one artifact each has a list of its own.
    """
    return f"_FILES-{hashlib.sha256(data).hexdigest()[:LIST_CHARS]}.parquet"
