"""The lake: artifacts in `<root>/<kind>/<name>/<digest12>/`, shards in `<root>/shards/<map>/`.

An artifact is its manifest, written last: a folder without one does not exist to readers. A writer
calls `begin`, writes files or has shards made, calls `commit`. What a writer wants to find again
after a crash goes under `_work/` (removed by `commit`) or under a prefix given as `keep`. A shard
is stored once and named by any number of artifacts (`infra.lake.shards`).
"""

import dataclasses
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from infra import storage
from infra.errors import DamagedError, GristmillError, UsageError
from infra.lake.artifact import Artifact
from infra.lake.collect import Freed, InUse, collecting, remove_shards
from infra.lake.rejected import Chosen, every, rejected_rows
from infra.lake.rows import DOCUMENTS
from infra.lake.shards import name_of
from infra.lake.writer import ALIVE, USES, WORK, Writer, claim_of
from infra.manifest import FORMAT, MANIFEST_NAME, SHARDS, SHORT, Identity, Manifest
from infra.storage.claim import is_held

__all__ = ["WORK", "Artifact", "Lake", "Writer"]

MARK = "_LAKE.json"
FIRST_VERSION = {"crawl", "documents", "clean", "dedup", "tokenizer", "tokens", "checkpoints"}
NO_KINDS = {SHARDS, "mlflow"}
DAY_SECONDS = 86400.0
RESUMABLE_SECONDS = 30 * DAY_SECONDS
DIGEST = re.compile(rf"[0-9a-f]{{{SHORT}}}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Lake:
    """All artifacts below one root, a directory or `s3://bucket/prefix` in its normal form."""

    root: str
    _probed: list[bool] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def at(cls, root: str) -> "Lake":
        """The lake at a root as the user writes it.

        Raises UsageError for a root that cannot be one, or that holds a lake of the first version.
        """
        lake = cls(storage.normal_root(root))
        if storage.exists(storage.join(lake.root, MARK)):
            return lake
        there = FIRST_VERSION.intersection(storage.list_folders(lake.root))
        if old := next((kind for kind in sorted(there) if lake.artifacts(kind)), None):
            raise UsageError(
                f"{root}: a lake of an earlier version ({old}/ is there, {MARK} is not):"
                " remove it, or name another --root, and build it again"
            )
        return lake

    def require(self) -> None:
        """Raises UsageError where nobody has begun a lake yet."""
        if not storage.exists(storage.join(self.root, MARK)):
            raise UsageError(f"{self.root}: no lake is here ({MARK} is missing); check --root")

    def artifact(self, identity: Identity, name: str = "default") -> Artifact:
        """Where the artifact with this identity is or will be.

        Raises UsageError for a kind or name that cannot be a folder's.
        """
        for what, value in (("kind", identity.kind), ("name", name)):
            if not NAME.fullmatch(value) or (what == "kind" and value in NO_KINDS):
                raise UsageError(f"{what} '{value}': use up to 64 letters, digits, '.', '_' or '-'")
        return Artifact(self.root, identity.kind, name, identity.digest)

    def begin(
        self, identity: Identity, name: str = "default", *, keep: tuple[str, ...] = ()
    ) -> Writer:
        """Start (or take up again) writing.

        Everything that an earlier attempt left is swept but `_work/` and the prefixes in `keep`.
        Waits for another process that writes the same artifact, and for a `gc` under way.
        """
        if not self._probed:
            storage.require_exclusive_create(self.root)
            mark = storage.join(self.root, MARK)
            if not storage.exists(mark):
                storage.write_bytes(mark, json.dumps({"format": FORMAT}).encode())
            self._probed.append(True)
        return Writer(self.artifact(identity, name), identity, keep)

    def kinds(self) -> list[str]:
        """The kinds of artifact that are there, finished or not."""
        found = storage.list_folders(self.root)
        return [kind for kind in found if NAME.fullmatch(kind) and kind not in NO_KINDS]

    def artifacts(self, kind: str | None = None) -> list[Artifact]:
        """All finished artifacts, oldest first within a kind."""
        found = []
        for each in [kind] if kind else self.kinds():
            files = storage.list_files(storage.join(self.root, each))
            done = [f for f in files if re.fullmatch(rf"[^/]+/[^/]+/{MANIFEST_NAME}", f.path)]
            for info in sorted(done, key=lambda f: f.modified):
                name, digest, _ = info.path.split("/")
                found.append(Artifact(self.root, each, name, digest))
        return found

    def attempts(self, kind: str) -> list[tuple[Artifact, float]]:
        """Half-written artifacts, with when each was last written to (seconds since 1970)."""
        began: dict[str, float] = {}
        done = {artifact.path for artifact in self.artifacts(kind)}
        for info in storage.list_files(storage.join(self.root, kind)):
            name, _, rest = info.path.partition("/")
            digest = rest.partition("/")[0]
            path = f"{kind}/{name}/{digest}"
            if f"/{digest}/{WORK}/" in f"/{rest}" and DIGEST.fullmatch(digest) and path not in done:
                began[path] = max(began.get(path, 0.0), info.modified)
        return [
            (Artifact(self.root, *path.split("/")), modified) for path, modified in began.items()
        ]

    def newest(self, *kinds: str, name: str | None = None) -> Artifact | None:
        """The newest finished artifact, damaged or not, of the last of these kinds that has any;
        with `name`, of that name."""
        for kind in reversed(kinds):
            for artifact in reversed(self.artifacts(kind)):
                if name in (None, artifact.name):
                    return artifact
        return None

    def find(
        self, reference: str, kind: str | None = None, *, half_written: bool = False
    ) -> Artifact:
        """The finished artifact that `reference` names, damaged or not.

        Its folder (URI or path), `kind/name/digest`, `kind/name` for the newest, or 4 or more
        digits of its digest. With `half_written` also one that was begun and is not finished, by
        folder or digest. Raises UsageError when none or several match.
        """
        wanted = self._within(reference)
        matches = [
            a
            for a in self.artifacts(kind)
            if wanted in (a.path, f"{a.kind}/{a.name}")
            or (len(wanted) >= 4 and a.digest.startswith(wanted[:SHORT]))
        ]
        if half_written:
            begun = (a for each in self.kinds() for a, _ in self.attempts(each))
            matches += [a for a in begun if wanted in (a.path, a.digest)]
        if not matches and kind and (other := self.find(reference)):
            raise UsageError(f"{reference}: is of kind {other.kind}; {kind} are asked for")
        if not matches:
            raise UsageError(
                f"{storage.public_uri(reference)}: no such artifact in {self.root};"
                " `gristmill ls` lists them"
            )
        if len({a.digest for a in matches}) > 1 and "/" not in wanted:
            several = ", ".join(a.digest for a in matches)
            raise UsageError(f"{reference}: several artifacts match ({several}); give more digits")
        return _whole_digest(matches[-1])

    def _within(self, reference: str) -> str:
        """A path or URI of something in the lake relative to its root; else the reference."""
        whole = reference.rstrip("/")
        if storage.is_local(reference):
            whole = os.path.abspath(storage.local_path(reference))
        inside = whole.startswith(f"{self.root}/")
        return whole[len(self.root) + 1 :] if inside else reference.rstrip("/")

    def ancestors(self, *artifacts: Artifact) -> list[Artifact]:
        """The artifacts and, breadth first, all finished ones that they were made from, each once.
        What one with a damaged manifest was made from nobody knows.

        The same result may stand under several names: that of the first artifact is preferred.
        """
        index: dict[str, Artifact] = {}
        for each in self.artifacts():
            if each.digest not in index or each.name == artifacts[0].name:
                index[each.digest] = each
        found = list(artifacts)
        for each in found:
            for digest in _inputs(each):
                parent = index.get(digest[:SHORT])
                if parent and all(parent.digest != known.digest[:SHORT] for known in found):
                    found.append(Artifact(self.root, parent.kind, parent.name, digest))
        return found

    def rejected(
        self, artifact: Artifact, columns: Sequence[str] = ("url",), chosen: Chosen = every
    ) -> Iterator[pa.RecordBatch]:
        """The rows that the artifact's own step rejected: `reject_reason`, `detail`, and columns of
        the documents that it was made from.

        chosen  which rows to give, by their reasons; asked before anything is looked up

        Raises GristmillError where these documents are gone.
        """
        manifest = artifact.require()
        digest = manifest.inputs.get(DOCUMENTS)
        if digest is None:
            return rejected_rows(self.root, manifest, None, columns, chosen)
        for each in self.artifacts():
            if each.digest == digest[:SHORT]:
                return rejected_rows(self.root, manifest, each.require(), columns, chosen)
        raise GristmillError(
            f"{artifact.path}: the documents that it was made from ({digest[:SHORT]}) are gone;"
            " run their step again"
        )

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact, finished, damaged or half-written; its shards stay until `collect`.

        Raises UsageError while another one was, or is being, made from it, or while it is written.
        """
        if is_held(claim_of(artifact)):
            raise UsageError(f"{artifact.path}: a step is writing it; wait until it is done")
        with collecting(self.root):
            if not storage.exists(artifact.uri):
                artifact.known()  # not even begun: it says so
            digest = artifact.digest[:SHORT]
            if any(used.startswith(digest) for used in self._in_use().artifacts):
                raise UsageError(f"{artifact.path}: a step at work reads it; wait until it is done")
            for other in self.artifacts():
                if any(made_from.startswith(digest) for made_from in _inputs(other)):
                    raise UsageError(
                        f"{artifact.path}: {other.path} was made from it; remove that first"
                    )
            self._delete(artifact)

    def collect(
        self, *, keep: int | None = None, also: Iterable[str] = (), dry_run: bool = False
    ) -> Freed:
        """Remove what is not needed any more: half-written artifacts, old ones, shards.

        keep     of each kind and name, keep the newest so many artifacts, at least one, and all
                 that they were made from; None: all
        also     digests of artifacts to keep besides, with all that they were made from
        dry_run  only say what would go

        Raises DamagedError, before anything is removed, where a manifest cannot be read: what it
        names is not known.

        Half-written artifacts that nobody has touched for a day go first (`sweep`). Shards go that
        no artifact left names. What a step at work has said it uses stays.
        """
        freed = Freed()
        with collecting(self.root):
            stray = self._stray(DAY_SECONDS, RESUMABLE_SECONDS)
            used = self._in_use(without=tuple(f"{uri}/" for uri in stray))
            artifacts = self._known()  # after what is in use: see `infra.lake.collect`
            for uri, left in stray.items():
                _note(freed, uri, left)
                if not dry_run:
                    storage.delete(uri)
            kept = _kept(artifacts, keep, used.artifacts.union(also))
            named = set(used.shards)
            for artifact, manifest in artifacts:
                if manifest.digest in kept:
                    named.update(name_of(f.path) for f in manifest.files if f.is_shard)
                    continue
                _note(freed, artifact.path, storage.list_files(artifact.uri))
                if not dry_run:
                    self._delete(artifact)
            remove_shards(self.root, named.__contains__, dry_run, freed)
        return freed

    def sweep(
        self,
        older_than_seconds: float = DAY_SECONDS,
        resumable_seconds: float = RESUMABLE_SECONDS,
    ) -> list[str]:
        """Remove half-written folders, and `_work/` in finished ones, that nobody has touched for
        that long; their URIs.

        Checkpoints of a training that was interrupted are dear: they wait `resumable_seconds` for
        it to go on.
        """
        stray = self._stray(older_than_seconds, resumable_seconds)
        for uri in stray:
            storage.delete(uri)
        return list(stray)

    def _stray(
        self, older_than_seconds: float, resumable_seconds: float
    ) -> dict[str, list[storage.FileInfo]]:
        """What `sweep` removes: folder -> its files.

        A root may hold other things (`--root .`): only what a writer has begun, a folder named by a
        digest with `_work/` in it, is ours to remove.
        """
        found = {}
        for kind in self.kinds():
            folders: dict[str, list[storage.FileInfo]] = {}
            for info in storage.list_files(storage.join(self.root, kind)):
                if info.path.count("/") >= 2 and DIGEST.fullmatch(info.path.split("/")[1]):
                    folder = "/".join(info.path.split("/")[:2])
                    folders.setdefault(folder, []).append(info)
            for path, files in folders.items():
                if not any(f.path.startswith(f"{path}/{WORK}/") for f in files):
                    continue
                done = any(f.path == f"{path}/{MANIFEST_NAME}" for f in files)
                stray = [f for f in files if not done or f.path.startswith(f"{path}/{WORK}/")]
                resumable = any(f.path.endswith("/COMPLETE") for f in files)
                patience = resumable_seconds if resumable and not done else older_than_seconds
                if stray and time.time() - max(f.modified for f in stray) > patience:
                    uri = storage.join(self.root, kind, path, *([WORK] if done else []))
                    found[uri] = stray
        return found

    def _in_use(self, without: tuple[str, ...] = ()) -> InUse:
        """What steps at work say, but for what they said in folders `without`."""
        used = InUse()
        for kind in self.kinds():
            files = storage.list_files(storage.join(self.root, kind))
            said = [f for f in files if f"/{WORK}/{USES}/" in f.path and f.path.endswith(".json")]
            used.add(f for f in said if not f.uri.startswith(without))
        return used

    def _known(self) -> list[tuple[Artifact, Manifest]]:
        """All finished artifacts, oldest first within a kind, whatever became of their files.

        Raises DamagedError for a damaged manifest.
        """
        found = [(artifact, artifact.read()) for artifact in self.artifacts()]
        return [(artifact, manifest) for artifact, manifest in found if manifest]

    def _delete(self, artifact: Artifact) -> None:
        """The manifest first, so that no half of an artifact is ever found; `_work/` last, so that
        `sweep` takes what a crash in between leaves."""
        storage.write_bytes(artifact.file(WORK, ALIVE), b"")
        storage.delete(artifact.file(MANIFEST_NAME))
        left = storage.list_files(artifact.uri)
        storage.delete_many([f.uri for f in left if not f.path.startswith(f"{WORK}/")])
        storage.delete(artifact.uri)


def _whole_digest(artifact: Artifact) -> Artifact:
    """The artifact with all digits of its digest; with those of its folder where no manifest tells
    the others."""
    manifest = artifact.legible()
    return dataclasses.replace(artifact, digest=manifest.digest) if manifest else artifact


def _inputs(artifact: Artifact) -> list[str]:
    """Digests of what an artifact was made from; none where its manifest is damaged."""
    try:
        return list(artifact.known().inputs.values())
    except DamagedError:
        return []


def _kept(artifacts: list[tuple[Artifact, Manifest]], keep: int | None, also: set[str]) -> set[str]:
    """Digests of the newest `keep` artifacts of each kind and name, of `also`, and of all that
    these were made from."""
    inputs = {m.digest: list(m.inputs.values()) for _, m in artifacts}
    newest: dict[tuple[str, str], list[str]] = {}
    for artifact, manifest in artifacts:
        newest.setdefault((artifact.kind, artifact.name), []).append(manifest.digest)
    wanted = [d for digests in newest.values() for d in digests[-keep if keep else 0 :]]
    wanted += sorted(also)
    kept: set[str] = set()
    while wanted:
        digest = wanted.pop()
        if digest not in kept:
            kept.add(digest)
            wanted += inputs.get(digest, [])
    return kept


def _note(freed: Freed, artifact: str, files: list[storage.FileInfo]) -> None:
    freed.artifacts.append(artifact)
    freed.files += len(files)
    freed.size_bytes += sum(info.size_bytes for info in files)
