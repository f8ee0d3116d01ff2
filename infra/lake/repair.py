"""What is damaged in a lake, and how it is made away with, so that the next run builds it again.

A damaged artifact loses its manifest, a damaged shard its note: what has none does not exist, and a
step makes what does not exist. Damaged files go too, so that no other artifact goes on naming them
unseen; everything whole stays and is found again, a training's checkpoints among it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from infra import storage
from infra.errors import DamagedError
from infra.lake import shards
from infra.lake.artifact import Artifact
from infra.lake.collect import InUse
from infra.lake.damage import Damage, Stored
from infra.lake.shards import name_of
from infra.lake.writer import ALIVE, USES, WORK, claim_of
from infra.manifest import MANIFEST_NAME, SHARDS
from infra.storage.claim import claim


@dataclass(frozen=True)
class Checked:
    """An artifact or a shard, and all that is wrong with it.

    path  below the lake's root: an artifact's folder, a shard's note
    """

    path: str
    files: int
    size_bytes: int
    damage: list[Damage]


def check(artifact: Artifact, stored: Stored) -> Checked:
    """A finished artifact against its manifest."""
    manifest, damage = artifact.examined(stored)
    files = manifest.files if manifest else []
    return Checked(artifact.path, len(files), sum(f.size_bytes for f in files), damage)


def check_shards(root: str, stored: Stored) -> Iterator[Checked]:
    """Every shard of a lake against its note."""
    for shard_map in storage.list_folders(storage.join(root, SHARDS)):
        for name in sorted(shards.there(root, shard_map)):
            note = shards.note_path(name)
            try:
                shard = shards.find(root, name)
            except DamagedError as error:
                yield Checked(note, 0, 0, [Damage(note, str(error).partition(": ")[2])])
                continue
            files = shard.files if shard else ()
            size_bytes = sum(entry.size_bytes for entry in files)
            yield Checked(note, len(files), size_bytes, stored.wrong(files))


def mend(artifact: Artifact, damage: Iterable[Damage], *, hashes: bool = False) -> None:
    """Make a damaged artifact one that is not finished.

    Waits for a process that writes it; what that has repaired meanwhile stays. What is whole stays,
    and until its step takes it up (a day at most) `gc` keeps the shards that the manifest named.
    """
    paths = {each.path for each in damage}

    def repaired() -> bool:
        _, left = artifact.examined(Stored(artifact.lake_root, hashes=hashes))
        return not any(each.path in paths for each in left)

    with claim(claim_of(artifact), repaired) as mine:
        if not mine:
            return
        remove_files(artifact.lake_root, paths)
        for path in paths:
            if path.startswith(f"{artifact.path}/"):
                within = path.removeprefix(f"{artifact.path}/").split("/")
                storage.delete(artifact.file(within[0]))  # of a checkpoint, all: half a one is none
        _keep_shards(artifact)
        storage.delete(artifact.file(MANIFEST_NAME))


def remove_files(root: str, paths: Iterable[str]) -> None:
    """Remove damaged files of shards, or damaged notes, with what says that the shard is there."""
    for path in paths:
        if path.startswith(f"{SHARDS}/"):
            if not path.endswith(".json"):
                storage.delete(shards.note_of(root, name_of(path)))
            storage.delete(storage.join(root, path))


def _keep_shards(artifact: Artifact) -> None:
    manifest = artifact.legible()
    named = {name_of(f.path) for f in manifest.files if f.is_shard} if manifest else set()
    inputs = set(manifest.inputs.values()) if manifest else set()
    storage.write_bytes(artifact.file(WORK, ALIVE), b"")
    storage.write_bytes(artifact.file(WORK, USES, "damaged.json"), InUse(named, inputs).to_json())
