"""What a user's input names: globs, directories and files, on a disk and on S3."""

import re

import pytest

from infra import storage
from infra.errors import UsageError


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
    assert all(info.modified == storage.modified(info.uri) for info in found)


def test_a_file_with_a_glob_sign_in_its_name_is_found(root: str) -> None:
    uri = storage.join(root, "page[1].html")
    storage.write_bytes(uri, b"")
    assert [info.uri for info in storage.expand(uri)] == [uri]


@pytest.mark.parametrize("wrong", ["/nothing", "/*.nothing", "/web-0.warc.gz/x"])
def test_a_pattern_that_names_nothing_is_an_error(crawl: str, wrong: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(crawl + wrong)}: "):
        storage.expand(crawl + wrong)
