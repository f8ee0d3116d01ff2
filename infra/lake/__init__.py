"""The lake: artifacts in `<root>/<kind>/<name>/<digest12>/`, shards in `<root>/shards/<map>/`.

An artifact is its manifest, written last: a folder without one does not exist to readers. A writer calls `begin`, writes files or
has shards made, calls `commit`. What a writer wants to find again after a crash goes under `_work/` (removed by `commit`) or under
a prefix given as `keep`. A shard is stored once and named by any number of artifacts (`infra.lake.shards`).
"""

import json
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from infra import storage
from infra.errors import UsageError
from infra.lake.artifact import Artifact
from infra.lake.collect import Freed, collecting, remove_shards, uses_in
from infra.lake.shards import name_of
from infra.lake.writer import USES, WORK, Writer
from infra.manifest import FORMAT, MANIFEST_NAME, SHARDS, SHORT, Identity, Manifest

__all__ = ["WORK", "Artifact", "Lake", "Writer"]

MARK = "_LAKE.json"
FIRST_VERSION = {"crawl", "documents", "clean", "dedup", "tokenizer", "tokens", "checkpoints"}
NO_KINDS = {SHARDS, "mlflow"}
DAY_SECONDS = 86400.0
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Lake:
    """All artifacts below one root, a directory or `s3://bucket/prefix` (already in `storage.normal_root` form)."""

    root: str
    _probed: list[bool] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def at(cls, root: str) -> "Lake":
        """The lake at a root as the user writes it. Raises UsageError for a root that cannot be one, or that holds a lake of the
        first version."""
        lake = cls(storage.normal_root(root))
        if not storage.exists(storage.join(lake.root, MARK)):
            if old := FIRST_VERSION.intersection(storage.list_folders(lake.root)):
                raise UsageError(
                    f"{root}: a lake of an earlier version ({min(old)}/ is there, {MARK} is not):"
                    " remove it, or name another --root, and build it again"
                )
        return lake

    def artifact(self, identity: Identity, name: str = "default") -> Artifact:
        """Where the artifact with this identity is or will be. Raises UsageError for a bad kind or name."""
        for what, value in (("kind", identity.kind), ("name", name)):
            if not NAME.fullmatch(value) or (what == "kind" and value in NO_KINDS):
                raise UsageError(f"{what} '{value}': use up to 64 letters, digits, '.', '_' or '-'")
        return Artifact(self.root, identity.kind, name, identity.digest)

    def begin(
        self, identity: Identity, name: str = "default", *, keep: tuple[str, ...] = ()
    ) -> Writer:
        """Start (or take up again) writing: everything an earlier attempt left is swept but `_work/` and the prefixes in `keep`."""
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

    def find(self, reference: str, kind: str | None = None) -> Artifact:
        """The finished artifact that `reference` names: its folder (URI or path), `kind/name/digest`, `kind/name` for the newest,
        or 4 or more digits of its digest.

        Raises UsageError when none or several match.
        """
        wanted = self._within(reference)
        matches = [
            a
            for a in self.artifacts(kind)
            if wanted in (a.path, f"{a.kind}/{a.name}")
            or (len(wanted) >= 4 and a.digest.startswith(wanted[:SHORT]))
        ]
        if not matches:
            raise UsageError(
                f"{reference}: no such artifact in {self.root}; `gristmill ls` lists them"
            )
        if len({a.digest for a in matches}) > 1 and "/" not in wanted:
            several = ", ".join(a.digest for a in matches)
            raise UsageError(
                f"{reference}: several artifacts match ({several}); give more digits"
            )
        newest = matches[-1]
        return Artifact(newest.lake_root, newest.kind, newest.name, newest.require().digest)

    def _within(self, reference: str) -> str:
        """The reference relative to the lake's root where it is the path or URI of something in the lake."""
        whole = reference.rstrip("/")
        if storage.is_local(reference):
            whole = os.path.abspath(storage.local_path(reference))
        inside = whole.startswith(f"{self.root}/")
        return whole[len(self.root) + 1 :] if inside else reference.rstrip("/")

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
                if parent and all(parent.digest != known.digest[:SHORT] for known in found):
                    found.append(Artifact(self.root, parent.kind, parent.name, digest))
        return found

    def remove(self, artifact: Artifact) -> None:
        """Delete a finished artifact. Raises UsageError while another one was made from it; its shards stay until `collect`."""
        digest = artifact.require().digest
        for other in self.artifacts():
            if digest in other.require().inputs.values():
                raise UsageError(f"{artifact.path}: {other.path} was made from it; remove that first")
        storage.delete(artifact.file(MANIFEST_NAME))
        storage.delete(artifact.uri)

    def collect(
        self, *, keep: int | None = None, also: Iterable[str] = (), dry_run: bool = False
    ) -> Freed:
        """Remove what is not needed any more.

        keep     of each kind and name, keep the newest so many artifacts and all that they were made from; None: all
        also     digests of artifacts to keep besides
        dry_run  only say what would go
        Half-written artifacts that nobody has touched for a day go first (`sweep`). Shards go that no artifact left names and that
        no step at work has said it uses.
        """
        freed = Freed()
        with collecting(self.root):
            if not dry_run:
                freed.artifacts += self.sweep()
            artifacts = [(a, a.require()) for a in self.artifacts()]
            kept = _kept(artifacts, keep, set(also))
            for artifact, manifest in artifacts:
                if manifest.digest not in kept:
                    freed.artifacts.append(artifact.path)
                    freed.size_bytes += _own_bytes(artifact, manifest)
                    if not dry_run:
                        storage.delete(artifact.file(MANIFEST_NAME))
                        storage.delete(artifact.uri)
            left = [m for _, m in artifacts if m.digest in kept]
            named = {name_of(f.path) for m in left for f in m.files if _is_shard(f.path)}
            for kind in self.kinds():
                files = storage.list_files(storage.join(self.root, kind))
                named.update(uses_in([f for f in files if f"/{WORK}/{USES}/" in f.path]))
            remove_shards(self.root, named.__contains__, dry_run, freed)
        return freed

    def sweep(
        self,
        older_than_seconds: float = DAY_SECONDS,
        resumable_seconds: float = 30 * DAY_SECONDS,
    ) -> list[str]:
        """Remove half-written folders, and `_work/` in finished ones, that nobody has touched for that long; their URIs.

        Checkpoints of a training that was interrupted are dear: they wait `resumable_seconds` for it to go on.
        """
        swept = []
        for kind in self.kinds():
            folders: dict[str, list[storage.FileInfo]] = {}
            for info in storage.list_files(storage.join(self.root, kind)):
                if info.path.count("/") >= 2:
                    folder = "/".join(info.path.split("/")[:2])
                    folders.setdefault(folder, []).append(info)
            for path, files in folders.items():
                done = any(f.path == f"{path}/{MANIFEST_NAME}" for f in files)
                stray = [f for f in files if not done or f.path.startswith(f"{path}/{WORK}/")]
                resumable = any(f.path.endswith("/COMPLETE") for f in files)
                patience = resumable_seconds if resumable and not done else older_than_seconds
                if stray and time.time() - max(f.modified for f in stray) > patience:
                    swept.append(storage.join(self.root, kind, path, *([WORK] if done else [])))
                    storage.delete(swept[-1])
        return swept


def _kept(
    artifacts: list[tuple[Artifact, Manifest]], keep: int | None, also: set[str]
) -> set[str]:
    """Digests of the newest `keep` artifacts of each kind and name, of those in `also`, and of all that they were made from."""
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


def _is_shard(path: str) -> bool:
    return path.startswith(f"{SHARDS}/")


def _own_bytes(artifact: Artifact, manifest: Manifest) -> int:
    return sum(f.size_bytes for f in manifest.files if f.path.startswith(f"{artifact.path}/"))
