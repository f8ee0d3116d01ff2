"""The lake: what is in it, how it is named, what it was made from; on disk and on S3 alike."""

import dataclasses
import json
from pathlib import Path

import pytest

from infra import storage
from infra.errors import UsageError
from infra.lake import Lake
from infra.manifest import MANIFEST_NAME, Identity
from tests.infra.lake.artifacts import DEDUP, make_artifact, versions


def test_a_written_lake_says_its_format(lake: Lake) -> None:
    make_artifact(lake)
    assert json.loads(storage.read_bytes(storage.join(lake.root, "_LAKE.json"))) == {"format": 3}
    assert Lake.at(lake.root) == lake


def test_looking_writes_nothing(lake: Lake) -> None:
    assert (lake.kinds(), lake.artifacts()) == ([], [])
    assert lake.artifact(DEDUP).manifest() is None
    assert storage.list_files(lake.root) == []


def test_a_lake_of_the_first_version_is_refused_in_one_line(root: str) -> None:
    storage.write_bytes(storage.join(root, "documents", "default", "0" * 12, MANIFEST_NAME), b"{}")
    with pytest.raises(
        UsageError, match=r"a lake of an earlier version \(documents/ is there, .*build it again$"
    ) as caught:
        Lake.at(root)
    assert "\n" not in str(caught.value)


def test_a_folder_of_other_things_may_become_a_lake(root: str) -> None:
    storage.write_bytes(storage.join(root, "notes", "today.txt"), b"")
    storage.write_bytes(storage.join(root, "crawl", "2024", "pages.warc"), b"")
    make_artifact(Lake.at(root))
    assert Lake.at(root).find("dedup/default").digest == DEDUP.digest


@pytest.mark.parametrize("kind", ["dedup", "my-own.kind_2"])
def test_any_folder_name_is_a_kind(lake: Lake, kind: str) -> None:
    make_artifact(lake, dataclasses.replace(DEDUP, kind=kind))
    assert lake.kinds() == [kind]


@pytest.mark.parametrize("kind", ["shards", "mlflow", "_work", "a/b", "", ".."])
def test_a_kind_that_cannot_be_a_folder_of_artifacts_is_refused(lake: Lake, kind: str) -> None:
    with pytest.raises(UsageError, match=f"kind '{kind}': use up to 64 letters"):
        lake.artifact(dataclasses.replace(DEDUP, kind=kind))


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "x" * 65])
def test_a_name_that_is_no_folder_is_refused(lake: Lake, name: str) -> None:
    with pytest.raises(UsageError, match=f"name '{name}': use up to 64 letters"):
        lake.artifact(DEDUP, name)


def test_an_artifact_is_found_by_every_way_to_name_it(lake: Lake) -> None:
    make_artifact(lake)
    artifact = lake.artifact(DEDUP)
    short = DEDUP.digest[:12]
    for reference in (
        DEDUP.digest,
        short,
        short[:4],
        f"dedup/default/{short}",
        "dedup/default",
        artifact.uri,
        artifact.uri + "/",
    ):
        assert lake.find(reference) == artifact, reference
    assert lake.find(short, "dedup") == artifact


def test_a_local_artifact_is_found_by_its_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake.at(str(tmp_path / "lake"))
    make_artifact(lake)
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEDUP.digest[:4]).write_bytes(b"")
    assert lake.find(f"./lake/dedup/default/{DEDUP.digest[:12]}/") == lake.artifact(DEDUP)
    assert lake.find(DEDUP.digest[:4]) == lake.artifact(DEDUP)


@pytest.mark.parametrize(
    "reference", ["abc", "ffffffff", "dedup/other", "dedup", "clean/default", ""]
)
def test_what_is_not_there_is_not_found(lake: Lake, reference: str) -> None:
    make_artifact(lake)
    with pytest.raises(UsageError, match="no such artifact"):
        lake.find(reference)


def test_a_reference_of_another_kind_is_not_found(lake: Lake) -> None:
    make_artifact(lake)
    with pytest.raises(UsageError, match="is of kind dedup; clean are asked for"):
        lake.find(DEDUP.digest, "clean")


def test_digits_that_fit_several_artifacts_are_refused(lake: Lake) -> None:
    make_artifact(lake)
    for digest in ("abcd" + "0" * 8, "abcd" + "1" * 8):
        where = storage.join(lake.root, "dedup", "default", digest, MANIFEST_NAME)
        storage.write_bytes(where, b"{}")
    with pytest.raises(
        UsageError, match=r"abcd: several artifacts match .*abcd00000000.*give more digits"
    ):
        lake.find("abcd")


def test_a_name_alone_means_the_newest(tmp_path: Path) -> None:
    lake = Lake.at(str(tmp_path))
    identities = versions(3)
    for identity in identities:
        make_artifact(lake, identity)
    assert lake.find("dedup/default").digest == identities[-1].digest


def test_one_result_may_stand_under_two_names(lake: Lake) -> None:
    make_artifact(lake, name="one")
    make_artifact(lake, name="two")
    assert [artifact.name for artifact in lake.artifacts("dedup")] == ["one", "two"]
    assert lake.find("dedup/one").name == "one"
    assert lake.find(DEDUP.digest).digest == DEDUP.digest


def test_ancestors_are_found_through_the_digests(lake: Lake) -> None:
    documents = Identity("documents", "extract", 1, {}, {"crawl": "1" * 64})
    clean = Identity("clean", "filter", 1, {}, {"documents": documents.digest})
    dedup = Identity("dedup", "dedup", 1, {}, {"documents": clean.digest})
    for identity in (documents, clean, dedup):
        make_artifact(lake, identity)
    make_artifact(lake, documents, "other")
    found = lake.ancestors(lake.find(dedup.digest))
    assert [(artifact.kind, artifact.name, artifact.digest) for artifact in found] == [
        (i.kind, "default", i.digest) for i in (dedup, clean, documents)
    ]
