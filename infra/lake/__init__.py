"""The lake: `<root>/<kind>/<name>/<digest12>/`, one folder an artifact, each with a manifest that is written last.

A folder without a manifest does not exist to readers. A writer calls `begin`, writes files, calls `commit`. What a writer wants
to find again after a crash goes under `_work/` (removed by `commit`) or under a prefix given as `keep`.
"""

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from infra import storage
from infra.errors import GristmillError, TransientError, UsageError, nearest
from infra.manifest import (
    FORMAT,
    MANIFEST_NAME,
    SHORT,
    Counts,
    FileEntry,
    Identity,
    Manifest,
    content_of,
    revision,
    tool_versions,
)
from infra.process import usage

KINDS = ("crawl", "documents", "clean", "dedup", "tokenizer", "tokens", "checkpoints", "scores", "models", "report")
WORK = "_work"
CLAIMS = ".writing"
DAY_SECONDS = 86400.0
PARQUET_TAIL_BYTES = 8
"""A Parquet file ends with the length of its footer and the magic number (Parquet format, file layout)."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Artifact:
    """An artifact's place in the lake: it may be finished, half-written or not there yet."""

    lake_root: str
    kind: str
    name: str
    digest: str

    @property
    def uri(self) -> str:
        """The artifact's folder."""
        return storage.join(self.lake_root, self.kind, self.name, self.digest[:SHORT])

    def file(self, *parts: str) -> str:
        """The URI of a file in the folder."""
        return storage.join(self.uri, *parts)

    def manifest(self, *, hashes: bool = False) -> Manifest | None:
        """The verified manifest, or None when the artifact is not finished.

        Sizes of all files are always compared, contents when `hashes`. Raises GristmillError where a file is missing or differs.
        """
        where = self.file(MANIFEST_NAME)
        try:
            manifest = Manifest.from_json(storage.read_bytes(where), where)
        except FileNotFoundError:
            return None
        if not manifest.digest.startswith(self.digest):
            raise GristmillError(f"{where}: belongs to another artifact ({manifest.digest[:SHORT]}); delete the folder")
        sizes = {f.path: f.size_bytes for f in storage.list_files(self.uri)}
        for entry in manifest.files:
            if sizes.get(entry.path) != entry.size_bytes:
                raise GristmillError(
                    f"{self.file(entry.path)}: {sizes.get(entry.path, 'no')} bytes, the manifest says {entry.size_bytes};"
                    " delete the folder and run the step again"
                )
            if hashes and storage.content_hash(self.file(entry.path)) != entry.sha256:
                raise GristmillError(f"{self.file(entry.path)}: not the manifest's content; delete the folder and run the step again")
        return manifest

    def require(self) -> Manifest:
        """The verified manifest; GristmillError when the artifact is not finished."""
        manifest = self.manifest()
        if manifest is None:
            raise GristmillError(f"{self.uri}: not finished (no manifest); run its step first")
        return manifest

    def data_uris(self) -> list[str]:
        """The URIs of the result's files (no rejected rows), in the manifest's order. Only these may be read."""
        return [self.file(entry.path) for entry in self.require().data_files()]

    def rejected_uris(self) -> list[str]:
        """The URIs of the rejected rows' files."""
        return [self.file(e.path) for e in self.require().files if e.path.startswith("rejected/")]


class Writer:
    """The one way to write an artifact; made by `Lake.begin`.

    In a local lake it waits for another process that writes the same artifact to finish or die. On S3 two writers at once fail by the
    accounting of their rows, or one after the other's manifest; nothing false is ever committed.
    """

    def __init__(self, artifact: Artifact, identity: Identity, keep: tuple[str, ...]) -> None:
        self.artifact = artifact
        self.identity = identity
        self.started = time.time()
        self.cpu_before, _ = usage()
        self._release = _claim(artifact)
        found = storage.list_files(artifact.uri)
        if any(f.path == MANIFEST_NAME for f in found):
            self._release()
            raise TransientError(f"{artifact.uri}: another run has just finished it; run again to use it")
        for stray in found:
            if not stray.path.startswith((f"{WORK}/", *keep)):
                storage.delete(stray.uri)

    def file(self, *parts: str) -> str:
        """The URI of a file to write in the artifact's folder."""
        return self.artifact.file(*parts)

    def work(self, *parts: str) -> str:
        """The URI of something to find again after a crash; gone after `commit`."""
        return self.artifact.file(WORK, *parts)

    def commit(
        self,
        counts: Counts,
        *,
        schema: list[dict[str, str]] | None = None,
        details: dict[str, Any] | None = None,
        only: Iterable[str] | None = None,
        spark_application_id: str = "",
        mlflow_run_id: str = "",
    ) -> Manifest:
        """Check the accounting, hash every file, write the manifest. `only`: the relative paths that belong to the result.

        Raises GristmillError when rows were lost or a file of `only` is missing. When another writer finished the same artifact
        first, its manifest is returned.
        """
        counts.check(self.identity.step)
        wanted = None if only is None else set(only)
        found = [f for f in storage.list_files(self.artifact.uri) if _is_result(f.path) and (wanted is None or f.path in wanted)]
        if wanted is not None and (missing := wanted - {f.path for f in found}):
            raise TransientError(f"{self.artifact.uri}: {min(missing)} is gone; does another run write the same artifact? run again")
        with ThreadPoolExecutor(4) as pool:
            files = list(pool.map(_entry, found))
        cpu_after, peak_bytes = usage()
        manifest = Manifest(
            format=FORMAT,
            kind=self.identity.kind,
            name=self.artifact.name,
            digest=self.identity.digest,
            **self.identity.declared(),
            files=files,
            content=content_of(files),
            counts=counts,
            schema=schema or _schema_of(self.artifact, files),
            details=details or {},
            revision=revision(),
            tools=tool_versions(),
            started_at=datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds"),
            seconds=round(time.time() - self.started, 3),
            cpu_seconds=round(max(0.0, cpu_after - self.cpu_before), 3),
            peak_memory_bytes=peak_bytes,
            flow_run_id=os.environ.get("GRISTMILL_FLOW_RUN_ID", ""),
            spark_application_id=spark_application_id,
            mlflow_run_id=mlflow_run_id,
        )
        try:
            storage.create_exclusive(self.file(MANIFEST_NAME), manifest.to_json())
        except FileExistsError:
            manifest = self.artifact.require()
        storage.delete(self.work())
        self._release()
        return manifest


@dataclass(frozen=True)
class Lake:
    """All artifacts below one root, a directory or `s3://bucket/prefix` (already in `storage.normal_root` form)."""

    root: str
    _probed: list[bool] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def at(cls, root: str) -> "Lake":
        """The lake at a root as the user writes it. Raises UsageError for a root that cannot be one."""
        return cls(storage.normal_root(root))

    def artifact(self, identity: Identity, name: str = "default") -> Artifact:
        """Where the artifact with this identity is or will be. Raises UsageError for a bad kind or name."""
        if identity.kind not in KINDS:
            raise UsageError(f"unknown kind '{identity.kind}'{nearest(identity.kind, KINDS)}")
        if not NAME.fullmatch(name):
            raise UsageError(f"name '{name}': use up to 64 letters, digits, '.', '_' or '-'")
        return Artifact(self.root, identity.kind, name, identity.digest)

    def begin(self, identity: Identity, name: str = "default", *, keep: tuple[str, ...] = ()) -> Writer:
        """Start (or take up again) writing: everything an earlier attempt left is swept but `_work/` and the prefixes in `keep`."""
        if not self._probed:
            storage.require_exclusive_create(self.root)
            self._probed.append(True)
        return Writer(self.artifact(identity, name), identity, keep)

    def artifacts(self, kind: str | None = None) -> list[Artifact]:
        """All finished artifacts, oldest first within a kind. Raises UsageError for an unknown kind."""
        if kind is not None and kind not in KINDS:
            raise UsageError(f"unknown kind '{kind}'{nearest(kind, KINDS)}")
        found = []
        for each in [kind] if kind else KINDS:
            folder = storage.join(self.root, each)
            here = [f for f in storage.list_files(folder) if f.path.count("/") == 2 and f.path.endswith("/" + MANIFEST_NAME)]
            for info in sorted(here, key=lambda f: f.modified):
                name, digest, _ = info.path.split("/")
                found.append(Artifact(self.root, each, name, digest))
        return found

    def find(self, reference: str, kind: str | None = None) -> Artifact:
        """The finished artifact that `reference` names: its folder (URI or path), `kind/name/digest`, `kind/name` for the newest,
        or 4 or more digits of its digest.

        Raises UsageError when none or several match.
        """
        wanted = self._within(reference)
        matches = [
            a
            for a in self.artifacts(kind)
            if wanted in (f"{a.kind}/{a.name}/{a.digest}", f"{a.kind}/{a.name}")
            or (len(wanted) >= 4 and a.digest.startswith(wanted[:SHORT]))
        ]
        if not matches:
            raise UsageError(f"{reference}: no such artifact in {self.root}; `gristmill ls` lists them")
        if len({a.digest for a in matches}) > 1 and "/" not in wanted:
            raise UsageError(f"{reference}: several artifacts match ({', '.join(a.digest for a in matches)}); give more digits")
        newest = matches[-1]
        return Artifact(newest.lake_root, newest.kind, newest.name, newest.require().digest)

    def _within(self, reference: str) -> str:
        """The reference relative to the lake's root where it is the path or URI of something in the lake."""
        whole = os.path.abspath(storage.local_path(reference)) if storage.is_local(reference) else reference.rstrip("/")
        return whole[len(self.root) + 1 :] if whole.startswith(f"{self.root}/") else reference.rstrip("/")

    def ancestors(self, *artifacts: Artifact) -> list[Artifact]:
        """The artifacts and, breadth first, every finished artifact of the lake that they were made from, each once.

        The same result may stand under several names; the one of the first artifact's name is preferred.
        """
        index: dict[str, Artifact] = {}
        for each in self.artifacts():
            if each.digest not in index or each.name == artifacts[0].name:
                index[each.digest] = each
        found = list(artifacts)
        for each in found:
            for digest in each.require().inputs.values():
                parent = index.get(digest[:SHORT])
                if parent is not None and all(parent.digest != known.digest[:SHORT] for known in found):
                    found.append(Artifact(self.root, parent.kind, parent.name, digest))
        return found

    def sweep(self, older_than_seconds: float = DAY_SECONDS, resumable_seconds: float = 30 * DAY_SECONDS) -> list[str]:
        """Remove half-written folders, and `_work/` in finished ones, that nobody has touched for that long; their URIs.

        Checkpoints of a training that was interrupted are dear: they wait `resumable_seconds` for it to go on.
        """
        swept = []
        for kind in KINDS:
            folders: dict[str, list[storage.FileInfo]] = {}
            for info in storage.list_files(storage.join(self.root, kind)):
                if info.path.count("/") >= 2:
                    folders.setdefault("/".join(info.path.split("/")[:2]), []).append(info)
            for path, files in folders.items():
                done = any(f.path == f"{path}/{MANIFEST_NAME}" for f in files)
                stray = [f.modified for f in files if not done or f.path.startswith(f"{path}/{WORK}/")]
                resumable = kind == "checkpoints" and any(f.path.endswith("/COMPLETE") for f in files)
                patience = resumable_seconds if resumable and not done else older_than_seconds
                if stray and time.time() - max(stray) > patience:
                    swept.append(storage.join(self.root, kind, path, *([WORK] if done else [])))
                    storage.delete(swept[-1])
        return swept


def _claim(artifact: Artifact) -> Callable[[], None]:
    """Wait for the right to write a local artifact. This process has it until it calls the result, or ends in whatever way."""
    if not storage.is_local(artifact.lake_root):
        return lambda: None
    place = Path(storage.local_path(artifact.lake_root), CLAIMS, f"{artifact.kind}-{artifact.name}-{artifact.digest[:SHORT]}")
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
    fcntl.lockf(descriptor, fcntl.LOCK_EX)

    def release() -> None:
        place.unlink(missing_ok=True)
        os.close(descriptor)

    return release


def _is_result(path: str) -> bool:
    leaf = path.rsplit("/", 1)[-1]
    return not leaf.startswith(("_", ".")) and not path.startswith(WORK + "/")


def _entry(info: storage.FileInfo) -> FileEntry:
    if not info.path.endswith(".parquet"):
        return FileEntry(info.path, info.size_bytes, storage.content_hash(info.uri))
    with storage.open_read(info.uri) as stream:
        rows = pq.ParquetFile(stream).metadata.num_rows
    tail = storage.read_range(info.uri, info.size_bytes - PARQUET_TAIL_BYTES, info.size_bytes)
    footer_bytes = int.from_bytes(tail[:4], "little") + PARQUET_TAIL_BYTES
    data, whole = storage.content_hashes(info.uri, info.size_bytes - footer_bytes)
    return FileEntry(info.path, info.size_bytes, whole, rows, data)


def _schema_of(artifact: Artifact, files: list[FileEntry]) -> list[dict[str, str]]:
    for entry in files:
        if entry.path.endswith(".parquet") and not entry.path.startswith("rejected/"):
            with storage.open_read(artifact.file(entry.path)) as stream:
                return [{"name": f.name, "type": str(f.type)} for f in pq.ParquetFile(stream).schema_arrow]
    return []
