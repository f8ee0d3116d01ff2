"""An artifact is there when its manifest is; what disagrees with it is an error that says so."""

import dataclasses
import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import storage
from infra.errors import GristmillError, UsageError
from infra.lake import Lake, shards
from infra.lake.artifact import file_list, list_name
from infra.manifest import INLINE_FILES, MANIFEST_NAME, Counts, FileEntry, Manifest
from tests.infra.lake.artifacts import (
    DEDUP,
    make_artifact,
    make_of_shards,
    own_files,
    paths,
    versions,
    write_rows,
)


def test_a_committed_artifact_says_what_it_holds(lake: Lake) -> None:
    made = make_artifact(lake)
    artifact = lake.artifact(DEDUP)
    assert artifact.manifest(hashes=True) == artifact.read() == made
    assert own_files(made) == [("_rejected/part-0.parquet", 1), ("part-0.parquet", 3)]
    assert all(entry.path.startswith(f"{artifact.path}/") for entry in made.files)
    assert made.schema == [{"name": "text", "type": "string"}, {"name": "n", "type": "int64"}]
    assert made.peak_memory_bytes > 0
    assert artifact.data_uris() == [artifact.file("part-0.parquet")]
    assert artifact.uri == f"{lake.root}/dedup/default/{DEDUP.digest[:12]}"


def test_a_half_written_folder_is_invisible(lake: Lake) -> None:
    write_rows(lake.begin(DEDUP), "part-0.parquet", 3)
    assert lake.artifact(DEDUP).manifest() is None
    assert lake.artifacts() == []
    with pytest.raises(GristmillError, match=r"not finished \(no manifest\); run its step first"):
        lake.artifact(DEDUP).require()
    with pytest.raises(UsageError, match="no such artifact"):
        lake.find(DEDUP.digest)


def test_a_cut_file_is_an_error_that_names_it(lake: Lake) -> None:
    make_artifact(lake)
    artifact = lake.artifact(DEDUP)
    uri = artifact.file("part-0.parquet")
    storage.write_bytes(uri, storage.read_bytes(uri)[:-1])
    said = (
        f"^{re.escape(uri)}: \\d+ bytes, the manifest says \\d+; delete {re.escape(artifact.uri)}"
    )
    with pytest.raises(GristmillError, match=f"{said} and run"):
        artifact.manifest()


def test_a_missing_file_is_an_error_that_names_it(lake: Lake) -> None:
    make_artifact(lake)
    uri = lake.artifact(DEDUP).file("_rejected", "part-0.parquet")
    storage.delete(uri)
    with pytest.raises(GristmillError, match=f"^{re.escape(uri)}: no bytes, the manifest says"):
        lake.artifact(DEDUP).require()


def test_for_a_missing_shard_its_note_must_go_too(lake: Lake) -> None:
    made = make_of_shards(lake, DEDUP, "map/ab")
    uri = storage.join(lake.root, made.files[0].path)
    storage.delete(uri)
    note = shards.note_of(lake.root, "map/ab")
    remedy = f"delete {lake.artifact(DEDUP).uri} and {note} and run the step again"
    with pytest.raises(GristmillError, match=f"^{re.escape(uri)}: no bytes.*{re.escape(remedy)}$"):
        lake.artifact(DEDUP).require()
    assert lake.artifact(DEDUP).known() == made


def test_the_note_of_rejected_rows_is_their_shards(lake: Lake) -> None:
    assert lake.artifact(DEDUP)._and_note("shards/map/_rejected/__rows/ab-1.parquet") == (
        f" and {lake.root}/shards/map/__notes/ab.json"
    )


def test_altered_content_of_equal_size_is_found_by_its_hash(lake: Lake) -> None:
    make_artifact(lake)
    uri = lake.artifact(DEDUP).file("part-0.parquet")
    data = bytearray(storage.read_bytes(uri))
    data[len(data) // 2] ^= 1
    storage.write_bytes(uri, bytes(data))
    assert lake.artifact(DEDUP).manifest() is not None
    with pytest.raises(GristmillError, match=f"^{re.escape(uri)}: not the manifest's content"):
        lake.artifact(DEDUP).manifest(hashes=True)


def test_a_manifest_in_the_folder_of_another_artifact_is_an_error(lake: Lake) -> None:
    make_artifact(lake)
    other = lake.artifact(versions(1)[0])
    storage.write_bytes(
        other.file(MANIFEST_NAME), storage.read_bytes(lake.artifact(DEDUP).file(MANIFEST_NAME))
    )
    with pytest.raises(GristmillError, match="belongs to another artifact"):
        other.manifest()


def make_with_many_files(lake: Lake) -> Manifest:
    """An artifact of the same small shard file, named by INLINE_FILES + 1 shards of its rows."""
    with lake.begin(DEDUP) as writer:
        write_rows(writer, "part-0.parquet", 3)
        entry = writer._found()[0]
        files = [dataclasses.replace(entry, shard=n) for n in range(INLINE_FILES + 1)]
        return writer.commit(Counts(), files=files)


def test_a_long_list_of_files_stands_beside_the_manifest(lake: Lake) -> None:
    made = make_with_many_files(lake)
    artifact = lake.artifact(DEDUP)
    assert artifact.manifest(hashes=True) == made
    assert len(made.files) == INLINE_FILES + 1
    (beside,) = (path for path in paths(artifact) if path.startswith("_FILES"))
    assert beside == list_name(storage.read_bytes(artifact.file(beside)))
    assert len(storage.read_bytes(artifact.file(MANIFEST_NAME))) < 10_000


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: None, "is missing"),
        (lambda data: data[:-1], "is not what was written"),
        (lambda data: file_list([FileEntry("a/b/c/d", 1, "ab")]), "is not what was written"),
    ],
)
def test_a_list_of_files_that_is_not_the_manifests_is_an_error(
    lake: Lake, damage: Callable[[bytes], bytes | None], said: str
) -> None:
    make_with_many_files(lake)
    artifact = lake.artifact(DEDUP)
    (beside,) = (path for path in paths(artifact) if path.startswith("_FILES"))
    left = damage(storage.read_bytes(artifact.file(beside)))
    storage.delete(artifact.file(beside))
    if left is not None:
        storage.write_bytes(artifact.file(beside), left)
    with pytest.raises(GristmillError, match=rf"damaged manifest \({beside} {said}\); delete"):
        artifact.manifest()


def test_a_list_of_files_holds_every_field() -> None:
    entries = [FileEntry("a/b/c/d", 1, "ab", 3, 4, -1), FileEntry("shards/m/ab-1", 2, "cd")]
    table = pq.read_table(pa.BufferReader(file_list(entries)))
    assert [FileEntry(**row) for row in table.to_pylist()] == entries
