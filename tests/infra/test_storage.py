"""Storage: one behaviour for a directory and for S3 (moto's real server); reading over http from a real web server."""

import contextlib
import hashlib
import http.server
import multiprocessing
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra import storage
from infra.errors import GristmillError, UsageError
from tests.s3_server import Application, forget_s3, make_bucket, s3_server, use_s3

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


def test_an_aborted_upload_costs_nothing(s3_root: str) -> None:
    with pytest.raises(RuntimeError), storage.open_write(storage.join(s3_root, "file")) as stream:
        stream.write(b"x" * (6 * MEBIBYTE))
        raise RuntimeError
    fs, path = storage.filesystem(s3_root)
    assert not fs.call_s3("list_multipart_uploads", Bucket=path.split("/")[0]).get("Uploads")


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


def test_a_root_that_cannot_be_written_is_one_line(s3_root: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for wrong in ("s3://no-such-bucket/lake", str(tmp_path / "file" / "lake")):
        with pytest.raises(UsageError, match=f"^{re.escape(wrong)}: cannot write there") as caught:
            storage.require_exclusive_create(wrong)
        assert "\n" not in str(caught.value)


def test_the_fork_of_a_process_reads_s3_too(s3_root: str) -> None:
    uri = storage.join(s3_root, "file")
    storage.write_bytes(uri, b"shared")
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(storage.read_bytes, (uri,)).get(timeout=60) == b"shared"


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


def test_the_markers_of_folders_on_s3_are_not_files(s3_root: str) -> None:
    storage.write_bytes(storage.join(s3_root, "folder", "file"), b"1")
    fs, path = storage.filesystem(s3_root)
    bucket, _, prefix = path.partition("/")
    fs.call_s3("put_object", Bucket=bucket, Key=f"{prefix}/folder/", Body=b"")
    fs.call_s3("put_object", Bucket=bucket, Key=f"{prefix}/empty/", Body=b"")
    assert paths(s3_root) == ["folder/file"]
    assert len(storage.expand(s3_root)) == 1


def test_deleting_takes_a_file_or_a_folder_and_nothing_beside_it(root: str) -> None:
    for name in ("folder/a", "folder/b/c", "folder2/a", "file", "file2"):
        storage.write_bytes(storage.join(root, name), b"")
    for name in ("folder", "file", "nothing"):
        storage.delete(storage.join(root, name))
    assert paths(root) == ["file2", "folder2/a"]


@pytest.fixture
def crawl(root: str) -> str:
    """A folder of crawl files with some that do not count."""
    for name in (
        "web-1.warc.gz",
        "web-0.warc.gz",
        "deep/er/x.warc.gz",
        "notes.txt",
        "_SUCCESS",
        ".hidden",
        "_temporary/0/x.warc.gz",
    ):
        storage.write_bytes(storage.join(root, name), b"12")
    return root


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", ["deep/er/x.warc.gz", "notes.txt", "web-0.warc.gz", "web-1.warc.gz"]),
        ("/", ["deep/er/x.warc.gz", "notes.txt", "web-0.warc.gz", "web-1.warc.gz"]),
        ("/web-*.warc.gz", ["web-0.warc.gz", "web-1.warc.gz"]),
        ("/web-[1-9].warc.gz", ["web-1.warc.gz"]),
        ("/deep/**/*.warc.gz", ["deep/er/x.warc.gz"]),
        ("/notes.txt", ["notes.txt"]),
    ],
)
def test_globs_directories_and_files_name_crawl_files(
    crawl: str, pattern: str, expected: list[str]
) -> None:
    found = storage.expand(crawl + pattern)
    assert [info.uri for info in found] == [storage.join(crawl, name) for name in expected]
    assert all(info.size_bytes == 2 for info in found)


def test_a_file_with_a_glob_sign_in_its_name_is_found(root: str) -> None:
    uri = storage.join(root, "page[1].html")
    storage.write_bytes(uri, b"")
    assert [info.uri for info in storage.expand(uri)] == [uri]


@pytest.mark.parametrize("wrong", ["/nothing", "/*.nothing", "/web-0.warc.gz/x"])
def test_a_pattern_that_names_nothing_is_an_error(crawl: str, wrong: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(crawl + wrong)}: "):
        storage.expand(crawl + wrong)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s4://bucket/x", "unknown scheme 's4://'; nearest: 's3'"),
        ("s3a://bucket/x", "unknown scheme 's3a://'; nearest: 's3'"),
        ("S3://bucket/x", "unknown scheme 'S3://'; nearest: 's3'"),
        ("htps://host/x", "unknown scheme 'htps://'; nearest: 'https'"),
        ("gs://bucket/x", "unknown scheme 'gs://'"),
        ("s3:/bucket/x", "'s3:' needs two slashes; write s3://"),
        ("s3:bucket/x", "'s3:' needs two slashes; write s3://"),
        ("https:/host/x", "'https:' needs two slashes; write https://"),
        ("s3://", "no bucket; write s3://bucket/prefix"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [storage.normal_root, storage.expand, storage.read_bytes, storage.list_files, storage.exists],
)
def test_a_mistyped_uri_names_the_nearest_right_one(
    use: Callable[[str], Any], uri: str, said: str
) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(f'{uri}: {said}')}"):
        use(uri)


def test_a_root_has_one_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert {
        storage.normal_root(r)
        for r in ("lake", "./lake/", f"{tmp_path}/x/../lake", f"file://{tmp_path}/lake")
    } == {f"{tmp_path}/lake"}
    assert storage.normal_root("s3://bucket/lake/") == "s3://bucket/lake"


@pytest.mark.parametrize("wrong", ["", "https://host/lake"])
def test_a_lake_is_a_directory_or_on_s3(wrong: str) -> None:
    with pytest.raises(UsageError, match="the lake must be a directory or s3://bucket/prefix"):
        storage.normal_root(wrong)


def test_a_lake_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "lake").write_bytes(b"")
    with pytest.raises(UsageError, match="is a file; the lake must be a directory"):
        storage.normal_root(str(tmp_path / "lake"))


class Handler(http.server.SimpleHTTPRequestHandler):
    """A web server that knows ranges below /ranges/ and ignores them elsewhere."""

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not self.path.startswith("/ranges/") or not asked:
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        part = data[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {asked[1]}-{asked[2]}/{len(data)}")
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(params=["ranges", "whole"])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """A file on a web server, and its content."""
    data = os.urandom(9 * MEBIBYTE + 5)
    folder = tmp_path / "web" / request.param
    folder.mkdir(parents=True)
    (folder / "page.bin").write_bytes(data)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: Handler(*a, directory=str(tmp_path / "web"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{request.param}/page.bin", data
    server.shutdown()
    server.server_close()


def test_a_page_is_read_from_a_server_with_or_without_ranges(page: tuple[str, bytes]) -> None:
    uri, data = page
    assert [(info.uri, info.size_bytes) for info in storage.expand(uri)] == [(uri, len(data))]
    assert storage.read_bytes(uri) == data
    assert storage.content_hash(uri) == hashlib.sha256(data).hexdigest()
    assert (
        storage.read_range(uri, 5 * MEBIBYTE, 5 * MEBIBYTE + 7)
        == data[5 * MEBIBYTE : 5 * MEBIBYTE + 7]
    )
    assert storage.read_range(uri, len(data) - 2, len(data) + 9) == data[-2:]


def test_a_page_that_is_not_there_is_an_error(page: tuple[str, bytes]) -> None:
    uri, _ = page
    for wrong in (f"{uri}x", "http://127.0.0.1:9/x"):
        with pytest.raises(
            UsageError, match=f"^{re.escape(wrong)}: not found, or its server cannot be reached"
        ):
            storage.expand(wrong)


Behind = Callable[[Callable[[Application], Application]], str]


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[Behind]:
    """Starts an S3 server behind a middleware; gives the root of a lake on it."""
    with contextlib.ExitStack() as stack:

        def start(middleware: Callable[[Application], Application]) -> str:
            use_s3(stack.enter_context(s3_server(middleware)), monkeypatch)
            bucket = f"behind-{uuid.uuid4().hex}"
            make_bucket(bucket)
            return f"s3://{bucket}/lake"

        yield start
    forget_s3()


def test_a_store_that_ignores_if_none_match_is_refused(behind: Behind) -> None:
    def deaf(application: Application) -> Application:
        def answer(environment: dict[str, Any], start: Any) -> Iterable[bytes]:
            environment.pop("HTTP_IF_NONE_MATCH", None)
            return application(environment, start)

        return answer

    root = behind(deaf)
    with pytest.raises(GristmillError, match="ignores If-None-Match"):
        storage.require_exclusive_create(root)
    assert paths(root) == []


@pytest.mark.parametrize("taken", [False, True])
def test_a_conflict_is_tried_again_until_somebody_has_won(behind: Behind, taken: bool) -> None:
    conflicts = [2]
    body = b"<Error><Code>ConditionalRequestConflict</Code><Message>try again</Message></Error>"

    def busy(application: Application) -> Application:
        def answer(environment: dict[str, Any], start: Any) -> Iterable[bytes]:
            if "HTTP_IF_NONE_MATCH" not in environment or not conflicts[0]:
                return application(environment, start)
            conflicts[0] -= 1
            environment["wsgi.input"].read(int(environment["CONTENT_LENGTH"]))
            start(
                "409 Conflict",
                [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))],
            )
            return [body]

        return answer

    uri = storage.join(behind(busy), "file")
    if taken:
        storage.write_bytes(uri, b"theirs")
        with pytest.raises(FileExistsError):
            storage.create_exclusive(uri, b"ours")
    else:
        storage.create_exclusive(uri, b"ours")
    assert storage.read_bytes(uri) == (b"theirs" if taken else b"ours")
    assert conflicts == [0]
