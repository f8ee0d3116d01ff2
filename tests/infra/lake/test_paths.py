"""What a manifest or a note names lies in the lake: whoever altered one reaches nothing outside."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import storage
from infra.errors import DamagedError
from infra.lake import Artifact, Lake
from infra.lake.artifact import list_name
from infra.lake.damage import Stored
from infra.lake.repair import check, check_shards, mend, remove_files
from infra.lake.shards import find, make, note_of
from infra.manifest import MANIFEST_NAME, FileEntry
from tests.infra.lake.artifacts import DEDUP, make_artifact, make_shard, one_row, there

OUTSIDE = [
    "shards/../../victim",
    "shards/extract/../../../victim",
    f"dedup/default/{DEDUP.digest[:12]}/../../../../victim",
    f"dedup/default/{DEDUP.digest[:12]}/./../../../../victim",
    "/etc/passwd",
    "shards//../../victim",
    "shards/extract/..",
    "..\\..\\victim",
    "shards/extract/ab\0.parquet",
    "file:///victim/victim/victim",
    "",
    "victim",
]
FOLDERS = [
    "shards/extract",
    "shards/extract/__notes",
    "shards/extract/_rejected",
    "dedup/default",
    f"dedup/default/{DEDUP.digest[:12]}",
    f"dedup/default/{DEDUP.digest[:12]}/{MANIFEST_NAME}",
]
PARTS = st.sampled_from(["shards", "dedup", "x-1", "..", ".", "", "_a", "a\\b", "\0", "c:"])


@pytest.mark.parametrize("path", [*OUTSIDE, *FOLDERS, 7, None, b"shards/extract/ab-1"])
def test_an_entry_names_a_file_of_a_result_in_the_lake_or_is_none(path: Any) -> None:
    with pytest.raises(ValueError, match="is no file of a lake"):
        FileEntry(path, 1, "ab")


@given(st.lists(PARTS, max_size=6).map("/".join))
def test_no_entry_leads_out_of_the_lake(path: str) -> None:
    try:
        entry = FileEntry(path, 1, "ab")
    except ValueError:
        return
    uri = storage.join("/some/lake", entry.path)
    assert os.path.normpath(uri) == uri
    assert uri.startswith("/some/lake/")


@pytest.mark.parametrize("root", ["/data/lake", "s3://bucket/lake"])
@pytest.mark.parametrize("part", ["..", "../x", "a/../../x", "a/.."])
def test_no_place_below_a_root_is_above_it(root: str, part: str) -> None:
    with pytest.raises(DamagedError, match=f"leads out of {root}"):
        storage.join(root, "a", part)


def entry_at(path: str) -> dict[str, Any]:
    """An entry for a file that is not as it says, so that it would be removed."""
    return {"path": path, "size_bytes": 1, "sha256": "0" * 64, "rows": 0, "shard": -1, "layer": -1}


def tampered(artifact: Artifact, path: str, *, beside: bool = False) -> None:
    """Add the entry to a manifest, whose digest still is that of its fields; `beside`: to a list
    that stands beside it."""
    manifest = json.loads(storage.read_bytes(artifact.file(MANIFEST_NAME)))
    manifest["files"].append(entry_at(path))
    if beside:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(manifest["files"]), sink)
        listed = sink.getvalue().to_pybytes()
        storage.write_bytes(artifact.file(list_name(listed)), listed)
        manifest["files"] = list_name(listed)
    storage.write_bytes(artifact.file(MANIFEST_NAME), json.dumps(manifest).encode())


@pytest.fixture
def victim(lake: Lake) -> str:
    """A folder with a file beside the lake."""
    uri = f"{lake.root.rpartition('/')[0]}/victim"
    storage.write_bytes(f"{uri}/kept", b"dear")
    return uri


@pytest.mark.parametrize("beside", [False, True], ids=["inline", "beside"])
@pytest.mark.parametrize("path", [*OUTSIDE[:4], FOLDERS[1]])
def test_a_manifest_that_names_something_else_is_damaged_and_goes_alone(
    lake: Lake, victim: str, path: str, beside: bool
) -> None:
    make_artifact(lake)
    make_shard(lake.root, "extract/ab")
    artifact = lake.artifact(DEDUP)
    tampered(artifact, path, beside=beside)
    (found,) = check(artifact, Stored(lake.root)).damage
    assert found.path == f"{artifact.path}/{MANIFEST_NAME}"
    assert "is no file of a lake" in found.said and "\n" not in found.said
    mend(artifact, [found])
    assert artifact.manifest() is None
    assert storage.read_bytes(f"{victim}/kept") == b"dear"
    assert there(lake) == {"extract/ab"}


def test_a_manifest_whose_list_is_elsewhere_is_damaged_and_nothing_is_read_there(
    lake: Lake, tmp_path: Path
) -> None:
    make_artifact(lake)
    artifact = lake.artifact(DEDUP)
    os.mkfifo(tmp_path / "waits")  # who opens it waits for ever
    manifest = json.loads(storage.read_bytes(artifact.file(MANIFEST_NAME)))
    manifest["files"] = f"../../../../../../../../../..{tmp_path}/waits"
    storage.write_bytes(artifact.file(MANIFEST_NAME), json.dumps(manifest).encode())
    with pytest.raises(DamagedError, match="is no list of files"):
        artifact.manifest()


@pytest.mark.parametrize("path", [*OUTSIDE[:4], FOLDERS[1]])
def test_a_note_that_names_something_else_is_damaged_and_goes_alone(
    lake: Lake, victim: str, path: str
) -> None:
    make_shard(lake.root, "extract/ab")
    make_shard(lake.root, "extract/cd")
    note = note_of(lake.root, "extract/ab")
    said = json.loads(storage.read_bytes(note))
    said["files"].append(entry_at(path))
    storage.write_bytes(note, json.dumps(said).encode())
    with pytest.raises(DamagedError, match="is no file of a lake"):
        find(lake.root, "extract/ab")
    (found,) = (each for each in check_shards(lake.root, Stored(lake.root)) if each.damage)
    remove_files(lake.root, (each.path for each in found.damage))
    assert storage.read_bytes(f"{victim}/kept") == b"dear"
    assert there(lake) == {"extract/cd"}
    assert make(lake.root, "extract/ab", one_row)[1] is False
