"""Listings and deletions: the same for a directory and for S3, however many pages it takes."""

import time
from itertools import chain

import pytest

from infra import storage
from infra.storage import s3


def paths(folder: str) -> list[str]:
    """Relative paths below a folder."""
    return [info.path for info in storage.list_files(folder)]


def test_a_listing_is_sorted_with_relative_paths_and_sizes(root: str) -> None:
    for name in ("b/2", "a", "b/10", "b/c/1"):
        storage.write_bytes(storage.join(root, name), name.encode())
    storage.write_bytes(f"{root}-beside/x", b"")
    found = storage.list_files(root)
    assert [(info.path, info.size_bytes) for info in found] == [
        ("a", 1),
        ("b/10", 4),
        ("b/2", 3),
        ("b/c/1", 5),
    ]
    assert [storage.read_bytes(info.uri) for info in found] == [
        info.path.encode() for info in found
    ]
    assert all(info.modified > 0 for info in found)
    assert storage.list_files(storage.join(root, "none")) == []


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 answers and is asked three keys at a time."""
    monkeypatch.setattr(s3, "PAGE_KEYS", 3)


@pytest.mark.usefixtures("small_pages")
def test_a_listing_of_many_pages_is_whole(root: str) -> None:
    names = [f"{folder}{number}" for folder in ("", "a/", "b/") for number in range(5)]
    for name in names:
        storage.write_bytes(storage.join(root, name), b"")
    assert paths(root) == sorted(names)
    assert sorted(info.path for info in storage.list_names(root)) == list("01234")
    assert storage.list_folders(root) == ["a", "b"]


def test_the_names_of_a_folder_are_its_own_files(root: str) -> None:
    for name in ("b", "a", "folder/c", "folder/deep/d", "folder2/e"):
        storage.write_bytes(storage.join(root, name), name.encode())
    storage.write_bytes(f"{root}-beside/x", b"")
    found = list(storage.list_names(root))
    assert sorted(found, key=lambda info: info.path) == [
        info for info in storage.list_files(root) if "/" not in info.path
    ]
    assert storage.list_folders(root) == ["folder", "folder2"]
    assert storage.list_folders(storage.join(root, "folder")) == ["deep"]


@pytest.mark.parametrize("name", ["none", "file"])
def test_what_is_no_folder_lists_as_empty(root: str, name: str) -> None:
    storage.write_bytes(storage.join(root, "file"), b"1")
    folder = storage.join(root, name)
    assert storage.list_files(folder) == []
    assert list(storage.list_names(folder)) == []
    assert storage.list_folders(folder) == []


def test_a_bucket_that_is_not_there_lists_as_empty(s3_root: str) -> None:
    assert storage.list_files("s3://no-such-bucket/folder") == []
    assert list(storage.list_names("s3://no-such-bucket")) == []


def test_a_whole_bucket_is_a_folder(s3_root: str) -> None:
    bucket = s3_root.removesuffix("/lake")
    storage.write_bytes(f"{bucket}/top", b"")
    storage.write_bytes(f"{s3_root}/below", b"")
    assert paths(bucket) == ["lake/below", "top"]
    assert [info.uri for info in storage.list_names(bucket)] == [f"{bucket}/top"]
    assert storage.list_folders(bucket) == ["lake"]


def test_a_name_keeps_the_letters_that_addresses_treat_specially(root: str) -> None:
    names = ["a b", "a%20b", "a+b", "a#b", "a?b", "ä文"]
    for name in names:
        storage.write_bytes(storage.join(root, name), name.encode())
    found = list(storage.list_names(root))
    assert sorted(info.path for info in found) == sorted(names)
    assert [storage.read_bytes(info.uri).decode() for info in found] == [i.path for i in found]


def test_the_markers_of_folders_on_s3_are_not_files(s3_root: str) -> None:
    storage.write_bytes(storage.join(s3_root, "folder", "file"), b"1")
    fs, path = storage.filesystem(s3_root)
    bucket, _, prefix = path.partition("/")
    fs.call_s3("put_object", Bucket=bucket, Key=f"{prefix}/folder/", Body=b"")
    fs.call_s3("put_object", Bucket=bucket, Key=f"{prefix}/empty/", Body=b"")
    assert paths(s3_root) == ["folder/file"]
    assert len(storage.expand(s3_root)) == 1
    assert [info.path for info in storage.list_names(f"{s3_root}/folder")] == ["file"]
    assert storage.list_folders(s3_root) == ["empty", "folder"]


def test_deleting_takes_a_file_or_a_folder_and_nothing_beside_it(root: str) -> None:
    for name in ("folder/a", "folder/b/c", "folder2/a", "file", "file2"):
        storage.write_bytes(storage.join(root, name), b"")
    for name in ("folder", "file", "nothing"):
        storage.delete(storage.join(root, name))
    assert paths(root) == ["file2", "folder2/a"]


@pytest.mark.usefixtures("small_pages")
def test_many_files_are_deleted_and_those_that_are_gone_are_skipped(root: str) -> None:
    names = [f"folder/{number}" for number in range(8)]
    for name in [*names, "folder/8", "beside"]:
        storage.write_bytes(storage.join(root, name), b"")
    asked = chain([storage.join(root, "gone")], (storage.join(root, name) for name in names))
    storage.delete_many(asked)
    assert paths(root) == ["beside", "folder/8"]
    storage.delete_many([])


def test_files_of_several_places_are_deleted_in_one_call(
    s3_root: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = str(tmp_path_factory.mktemp("local"))
    uris = [f"{place}/{name}" for name in "ab" for place in (s3_root, folder)]
    for uri in uris:
        storage.write_bytes(uri, b"")
    storage.delete_many(uris)
    assert paths(s3_root) + paths(folder) == []


def test_a_file_says_when_it_was_written(root: str) -> None:
    uri = storage.join(root, "folder", "file")
    assert storage.modified(uri) is None
    before = time.time()
    storage.write_bytes(uri, b"1")
    found = storage.modified(uri)
    assert found is not None
    # S3's answer is in whole seconds.
    assert int(before) <= found <= time.time()
    assert storage.modified(storage.join(root, "folder")) is None
    assert storage.modified(storage.join(uri, "below")) is None
