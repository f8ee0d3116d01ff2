"""The one way to write an artifact: begin, write files or have shards made, commit it last."""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq

from infra import storage
from infra.errors import TransientError
from infra.lake.artifact import Artifact, file_list, list_name
from infra.lake.collect import InUse, wait_until_collected
from infra.manifest import (
    FORMAT,
    INLINE_FILES,
    MANIFEST_NAME,
    Counts,
    FileEntry,
    Identity,
    Manifest,
    content_of,
    revision,
    tool_versions,
)
from infra.process import tell_owner
from infra.storage.claim import claim
from infra.usage import usage

WORK = "_work"
WAITS = "wait for another run that makes the same"
USES = "uses"
ALIVE = "alive"
CLAIMS = ".writing"
ALIVE_SECONDS = 600.0
HASHERS = 4


class Writer:
    """Made by `Lake.begin`; a context manager that lets go of the artifact when the block ends.

    It waits for another process that writes the same artifact to finish or die. In the rare case of
    two writers at once, one commits; nothing false is ever committed. From the beginning on, `gc`
    keeps what the artifact is made from, and `sweep` its folder while the writer lives.
    """

    def __init__(self, artifact: Artifact, identity: Identity, keep: tuple[str, ...]) -> None:
        self.artifact = artifact
        self.identity = identity
        self.started = time.time()
        self.cpu_before, _ = usage()
        self._ended = threading.Event()
        self._life = threading.Thread(target=self._stay_alive, name="writer", daemon=True)
        manifest = artifact.file(MANIFEST_NAME)
        with contextlib.ExitStack() as claimed:
            if not claimed.enter_context(
                claim(
                    claim_of(artifact),
                    lambda: storage.exists(manifest),
                    waits=lambda: tell_owner("progress", done=0, total=0, part=WAITS),
                )
            ):
                raise TransientError(
                    f"{artifact.uri}: another run has just finished it; run again to use it"
                )
            for stray in storage.list_files(artifact.uri):
                if not stray.path.startswith((f"{WORK}/", *keep)):
                    storage.delete(stray.uri)
            storage.write_bytes(self.work(ALIVE), b"")
            self._say(InUse(artifacts=set(identity.inputs.values())))
            self._claimed = claimed.pop_all()
        self._life.start()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """Let others write the artifact. Called by `commit`; the end of the process does it too."""
        if not self._ended.is_set():
            self._ended.set()
            self._life.join()
            self._claimed.close()

    def file(self, *parts: str) -> str:
        """The URI of a file to write in the artifact's folder."""
        return self.artifact.file(*parts)

    def work(self, *parts: str) -> str:
        """The URI of something to find again after a crash; gone after `commit`."""
        return self.artifact.file(WORK, *parts)

    def uses(self, shards: Iterable[str]) -> None:
        """Say which shards this artifact will be made of, before looking for them: `gc` keeps them.

        Waits for a `gc` that is under way: it may have looked before this was said.
        """
        self._say(InUse(shards=set(shards)))

    def _say(self, used: InUse) -> None:
        where = self.work(USES, f"{uuid.uuid4().hex}.json")
        # A `gc` under way may sweep the folder that a dead attempt left, and this with it.
        while not storage.exists(where):
            storage.write_bytes(where, used.to_json())
            wait_until_collected(self.artifact.lake_root)

    def commit(
        self,
        counts: Counts,
        *,
        files: list[FileEntry] | None = None,
        schema: list[dict[str, str]] | None = None,
        details: dict[str, Any] | None = None,
        spark_application_id: str = "",
        mlflow_run_id: str = "",
    ) -> Manifest:
        """Check the accounting, write the manifest.

        files    the files of the result, hashed by those who wrote them; without it all files in
                 the folder, hashed here
        schema   columns of the rows; without it those of the first Parquet file
        details  what else is worth knowing, JSON-ready

        Raises GristmillError when rows were lost. When another writer finished the same artifact
        first, its manifest is returned.
        """
        counts.check(self.identity.step)
        if files is None:
            files = self._found()
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
            schema=schema or self._schema(files),
            details=details or {},
            revision=revision(),
            tools=tool_versions(),
            started_at=datetime.fromtimestamp(self.started, UTC).isoformat(timespec="milliseconds"),
            seconds=round(time.time() - self.started, 3),
            cpu_seconds=round(max(0.0, cpu_after - self.cpu_before), 3),
            peak_memory_bytes=peak_bytes,
            flow_run_id=os.environ.get("GRISTMILL_FLOW_RUN_ID", ""),
            spark_application_id=spark_application_id,
            mlflow_run_id=mlflow_run_id,
        )
        beside = ""
        if len(files) > INLINE_FILES:
            listed = file_list(files)
            beside = list_name(listed)
            storage.write_bytes(self.file(beside), listed)
        try:
            storage.create_exclusive(self.file(MANIFEST_NAME), manifest.to_json(beside))
        except FileExistsError:
            manifest = self.artifact.require()
        self.close()
        storage.delete(self.work())
        self._clear(manifest, beside)
        return manifest

    def _clear(self, manifest: Manifest, beside: str) -> None:
        """Remove what attempts that failed left among the files of the result."""
        named = {entry.path for entry in manifest.files}
        found = storage.list_files(self.artifact.uri)
        stray = [f for f in found if f"{self.artifact.path}/{f.path}" not in named]
        storage.delete_many(f.uri for f in stray if _is_result(f.path) and f.path != beside)

    def _found(self) -> list[FileEntry]:
        """All files in the folder, each read once more to be hashed."""
        found = [f for f in storage.list_files(self.artifact.uri) if _is_result(f.path)]
        with ThreadPoolExecutor(HASHERS) as pool:
            return list(pool.map(self._entry, found))

    def _entry(self, info: storage.FileInfo) -> FileEntry:
        path = f"{self.artifact.path}/{info.path}"
        rows = 0
        if path.endswith(".parquet"):
            with storage.open_read(info.uri) as stream:
                rows = pq.ParquetFile(stream).metadata.num_rows
        return FileEntry(path, info.size_bytes, storage.content_hash(info.uri), rows)

    def _schema(self, files: list[FileEntry]) -> list[dict[str, str]]:
        for entry in files:
            if entry.path.endswith(".parquet") and not entry.is_rejected:
                with storage.open_read(self.artifact.at_root(entry.path)) as stream:
                    fields = pq.ParquetFile(stream).schema_arrow
                return [{"name": f.name, "type": str(f.type)} for f in fields]
        return []

    def _stay_alive(self) -> None:
        """A step may work for days on shards that lie elsewhere: `sweep` must see that it lives."""
        while not self._ended.wait(ALIVE_SECONDS):
            # A sign that the network swallows is made up for by the next one.
            with contextlib.suppress(Exception):
                storage.write_bytes(self.work(ALIVE), b"")


def claim_of(artifact: Artifact) -> str:
    """The claim that a process holds while it writes the artifact."""
    return storage.join(artifact.lake_root, CLAIMS, artifact.path.replace("/", "-"))


def _is_result(path: str) -> bool:
    leaf = path.rsplit("/", 1)[-1]
    return not leaf.startswith(("_", ".")) and not path.startswith(WORK + "/")
