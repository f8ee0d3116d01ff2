"""What a user's input names: globs, directories and files, on a disk and on S3."""

import os
import re
from pathlib import Path

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


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder with links to a file, to a folder beside it, and to itself in three ways."""
    top = tmp_path / "crawl"
    for name in ("crawl/a/x.warc", "beside/y.warc", "beside/deep/z.warc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12")
    links = {
        **{"crawl/link.warc": "a/x.warc", "crawl/chain.warc": "link.warc"},
        **{"crawl/beside": "../beside", "crawl/again": "../beside/deep", "beside/up": "../crawl"},
        **{"crawl/a/loop": ".", "crawl/a/top": "..", "crawl/.hidden": "a/x.warc"},
    }
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    return top


def test_a_link_to_a_file_is_one_and_a_circle_has_an_end(linked: Path) -> None:
    found = {info.uri: info for info in storage.expand(str(linked))}
    names = sorted(os.path.relpath(uri, linked) for uri in found)
    assert names == ["a/x.warc", "again/z.warc", "beside/y.warc", "chain.warc", "link.warc"]
    assert all(info.size_bytes == 2 for info in found.values())
    link, file = found[str(linked / "link.warc")], found[str(linked / "a/x.warc")]
    assert link.modified == file.modified


def test_what_lies_above_is_found_once_by_a_link_to_it(linked: Path) -> None:
    (linked / "above").symlink_to("..")
    (linked / "other").symlink_to("../beside")
    names = [os.path.realpath(info.uri) for info in storage.expand(str(linked))]
    files = [name for name in names if not name.endswith("x.warc")]
    assert sorted(os.path.basename(name) for name in files) == ["y.warc", "z.warc"]


def test_a_glob_matches_links_to_files_too(linked: Path) -> None:
    found = storage.expand(str(linked / "*.warc"))
    assert [os.path.basename(info.uri) for info in found] == ["chain.warc", "link.warc"]
    found = storage.expand(str(linked / "[!.]*"))
    assert [os.path.basename(info.uri) for info in found] == ["chain.warc", "link.warc"]


@pytest.mark.parametrize("target", ["nothing", "broken.warc"])
@pytest.mark.parametrize("pattern", ["", "*", "broken.warc"])
def test_a_link_that_leads_nowhere_is_an_error(linked: Path, target: str, pattern: str) -> None:
    (linked / "broken.warc").symlink_to(target)
    with pytest.raises(UsageError, match=r"broken\.warc"):
        storage.expand(str(linked / pattern))
