"""Reading and writing: one behaviour for a directory and for S3 (moto's real server)."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra import storage

MEBIBYTE = 1 << 20
WRITERS = 4


def paths(folder: str) -> list[str]:
    """Relative paths below a folder."""
    return [info.path for info in storage.list_files(folder)]


def test_what_is_written_is_read(root: str) -> None:
    uri = storage.join(root, "a", "b.bin")
    storage.write_bytes(uri, b"one")
    storage.write_bytes(uri, b"two")
    assert storage.read_bytes(uri) == b"two"
    with storage.open_read(uri) as stream:
        stream.seek(1)
        assert stream.read() == b"wo"
    assert storage.content_hash(uri) == hashlib.sha256(b"two").hexdigest()


@pytest.mark.parametrize("size", [0, 3, 5 * MEBIBYTE, 12 * MEBIBYTE + 1])
def test_a_stream_of_any_size_is_stored_whole(root: str, size: int) -> None:
    data = os.urandom(size)
    uri = storage.join(root, "large.bin")
    with storage.open_write(uri) as stream:
        for start in range(0, size, MEBIBYTE):
            stream.write(memoryview(data)[start : start + MEBIBYTE])
    assert storage.content_hash(uri) == hashlib.sha256(data).hexdigest()
    assert [info.size_bytes for info in storage.list_files(root)] == [size]


@pytest.mark.parametrize("size", [10, 12 * MEBIBYTE])
def test_an_exception_while_writing_leaves_nothing(root: str, size: int) -> None:
    uri = storage.join(root, "folder", "file")
    with pytest.raises(RuntimeError), storage.open_write(uri) as stream:
        stream.write(b"x" * size)
        raise RuntimeError
    assert not storage.exists(uri)
    assert paths(root) == []


def test_an_exception_while_replacing_leaves_what_was_there(root: str) -> None:
    uri = storage.join(root, "file")
    storage.write_bytes(uri, b"before")
    with pytest.raises(KeyboardInterrupt), storage.open_write(uri) as stream:
        stream.write(b"after")
        raise KeyboardInterrupt
    assert storage.read_bytes(uri) == b"before"


def test_a_file_is_not_there_before_its_block_ends(root: str) -> None:
    uri = storage.join(root, "file")
    with storage.open_write(uri) as stream:
        stream.write(b"x" * (6 * MEBIBYTE))
        assert not storage.exists(uri)
    assert storage.exists(uri)


@pytest.mark.parametrize("attempt", range(5))
def test_exactly_one_of_several_writers_creates_a_file(root: str, attempt: int) -> None:
    uri = storage.join(root, "exclusive")
    together = threading.Barrier(WRITERS)

    def write(number: int) -> int | None:
        together.wait()
        try:
            storage.create_exclusive(uri, b"%d" % number)
        except FileExistsError:
            return None
        return number

    with ThreadPoolExecutor(WRITERS) as pool:
        winners = [number for number in pool.map(write, range(WRITERS)) if number is not None]
    assert [storage.read_bytes(uri)] == [b"%d" % winner for winner in winners]
    assert paths(root) == ["exclusive"]


def test_a_store_that_creates_exclusively_is_accepted_and_left_clean(root: str) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(storage.require_exclusive_create, [root] * WRITERS))
    assert paths(root) == []


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 4, b"0123"), (3, 5, b"34"), (8, 20, b"89"), (4, 4, b""), (10, 12, b""), (30, 40, b"")],
)
def test_a_range_is_read_as_far_as_the_file_goes(
    root: str, start: int, end: int, expected: bytes
) -> None:
    uri = storage.join(root, "digits")
    storage.write_bytes(uri, b"0123456789")
    assert storage.read_range(uri, start, end) == expected


def test_a_missing_file_is_file_not_found(root: str) -> None:
    for read in (
        storage.read_bytes,
        storage.content_hash,
        lambda uri: storage.read_range(uri, 0, 1),
    ):
        with pytest.raises(FileNotFoundError):
            read(storage.join(root, "nothing"))
    assert not storage.exists(storage.join(root, "nothing"))
