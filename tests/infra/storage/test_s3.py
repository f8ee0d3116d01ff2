"""What only an object store can do wrong: torn uploads, forks, conditions that it ignores."""

import contextlib
import multiprocessing
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import storage
from infra.errors import GristmillError, UsageError
from tests.s3_server import Application, forget_s3, make_bucket, s3_server, use_s3

MEBIBYTE = 1 << 20


def test_an_aborted_upload_costs_nothing(s3_root: str) -> None:
    with pytest.raises(RuntimeError), storage.open_write(storage.join(s3_root, "file")) as stream:
        stream.write(b"x" * (6 * MEBIBYTE))
        raise RuntimeError
    fs, path = storage.filesystem(s3_root)
    assert not fs.call_s3("list_multipart_uploads", Bucket=path.split("/")[0]).get("Uploads")


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
    assert storage.list_files(root) == []


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


def test_an_object_that_the_store_will_not_delete_is_named(behind: Behind) -> None:
    said = (
        b"<DeleteResult><Error><Key>lake/kept</Key><Code>AccessDenied</Code>"
        b"<Message>held by law</Message></Error></DeleteResult>"
    )

    def strict(application: Application) -> Application:
        def answer(environment: dict[str, Any], start: Any) -> Iterable[bytes]:
            if environment["QUERY_STRING"] != "delete":
                return application(environment, start)
            environment["wsgi.input"].read(int(environment["CONTENT_LENGTH"]))
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(said)))]
            start("200 OK", headers)
            return [said]

        return answer

    uri = storage.join(behind(strict), "kept")
    storage.write_bytes(uri, b"1")
    with pytest.raises(OSError, match=rf"^{uri}: not deleted \(AccessDenied: held by law\)"):
        storage.delete_many([uri])
