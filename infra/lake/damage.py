"""Whether a lake's files are what was written: by their sizes, where asked by their contents."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from infra import storage
from infra.manifest import FileEntry
from infra.show import printable

READERS = 8


@dataclass(frozen=True)
class Damage:
    """A file that is not what was written.

    path  below the lake's root
    said  what is wrong with it
    """

    path: str
    said: str

    @property
    def line(self) -> str:
        """Both, as people read them."""
        return printable(f"{self.path}: {self.said}")


class Stored:
    """A lake's files as they are while this object lives: each folder is listed once, each file
    read once.

    hashes  also compare contents, which reads all files: what was altered without a change of size
            is not seen otherwise
    """

    def __init__(self, root: str, *, hashes: bool = False) -> None:
        self.root = root
        self.hashes = hashes
        self._sizes: dict[str, dict[str, int]] = {}
        self._hashes: dict[str, str] = {}

    def wrong(self, files: Iterable[FileEntry]) -> list[Damage]:
        """Those of these files that are missing or differ, in their order."""
        entries = list(files)
        if self.hashes:
            self._read(entry for entry in entries if self._size(entry.path) == entry.size_bytes)
        checked = ((entry.path, self._said(entry)) for entry in entries)
        return [Damage(path, said) for path, said in checked if said]

    def _said(self, entry: FileEntry) -> str:
        size = self._size(entry.path)
        if size != entry.size_bytes:
            return f"{'no' if size is None else size} bytes, {entry.size_bytes} were written"
        if self.hashes and self._hashes[entry.path] != entry.sha256:
            return f"{size} bytes as written, but not their content"
        return ""

    def _size(self, path: str) -> int | None:
        folder, _, name = path.rpartition("/")
        if folder not in self._sizes:
            listed = storage.list_names(storage.join(self.root, folder))
            self._sizes[folder] = {info.path: info.size_bytes for info in listed}
        return self._sizes[folder].get(name)

    def _read(self, entries: Iterable[FileEntry]) -> None:
        paths = sorted({entry.path for entry in entries}.difference(self._hashes))
        with ThreadPoolExecutor(READERS) as pool:
            uris = (storage.join(self.root, path) for path in paths)
            self._hashes |= zip(paths, pool.map(storage.content_hash, uris), strict=True)
