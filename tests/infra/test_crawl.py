"""Crawl files: each once, by name and content; what the lake remembers is not read again."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import storage
from infra.crawl import MEMORY, Source, crawl_digest, declared, remember, sources_of, telling
from infra.errors import UsageError
from tests.s3_server import Application, forget_s3, make_bucket, one_at_a_time, s3_server, use_s3

LONG_AGO = 1_000_000.5


@pytest.fixture
def lake_root(tmp_path: Path) -> str:
    """Where the memory is."""
    return str(tmp_path / "lake")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A crawl file that has not changed for long."""
    path = tmp_path / "crawl" / "page.html"
    path.parent.mkdir()
    put(path, b"same")
    return path


def put(path: Path, content: bytes, modified: float = LONG_AGO) -> None:
    """Write the file as if it had been written then."""
    path.write_bytes(content)
    os.utime(path, (modified, modified))


def bound(path: Path, lake_root: str) -> Source:
    """The file, bound and remembered as a run does it."""
    sources = sources_of([str(path)], lake_root)
    remember(sources, lake_root)
    return sources[0]


def test_only_files_that_are_read_are_told(tmp_path: Path, lake_root: str) -> None:
    for number in range(3):
        put(tmp_path / f"{number}.html", b"%d" % number)
    said: list[tuple[int, int]] = []
    bound(tmp_path / "1.html", lake_root)
    with telling(lambda done, total: said.append((done, total))):
        sources_of([f"{tmp_path}/*.html"], lake_root)
    sources_of([f"{tmp_path}/*.html"], lake_root)
    assert said == [(1, 2), (2, 2)]


def test_sources_are_each_file_once_with_its_content(root: str) -> None:
    for name in ("b.warc", "a.warc"):
        storage.write_bytes(storage.join(root, name), b"same")
    found = sources_of([root, f"{root}/*.warc", f"{root}/a.warc"], root)
    assert [source.uri for source in found] == [f"{root}/a.warc", f"{root}/b.warc"]
    assert [source.name for source in found] == ["a.warc", "b.warc"]
    assert {(source.size_bytes, source.content) for source in found} == {(4, found[0].content)}
    storage.write_bytes(storage.join(root, "a.warc"), b"diff")
    assert sources_of([root], root)[0].content != found[0].content


def test_a_pattern_that_names_nothing_is_an_error(root: str) -> None:
    with pytest.raises(UsageError, match="no such file"):
        sources_of([f"{root}/*.warc.gz"], root)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("web=crawl/*.warc.gz", ("web", "crawl/*.warc.gz")),
        ("CC-MAIN_2024.18=s3://b/x/", ("CC-MAIN_2024.18", "s3://b/x/")),
        ("web=https://host/x?a=b", ("web", "https://host/x?a=b")),
        ("crawl/*.warc.gz", ("", "crawl/*.warc.gz")),
        ("https://host/x.warc?token=a", ("", "https://host/x.warc?token=a")),
        ("/data/day=1/x.warc", ("", "/data/day=1/x.warc")),
        ("my web=crawl/", ("", "my web=crawl/")),
        ("w\u00e9b=crawl/", ("", "w\u00e9b=crawl/")),
        ("=crawl/", ("", "=crawl/")),
        ("web=", ("", "web=")),
    ],
)
def test_a_source_is_declared_by_a_name_before_the_pattern(
    reference: str, said: tuple[str, str]
) -> None:
    assert declared(reference) == said


def test_the_source_is_what_is_declared_else_the_folders_name(tmp_path: Path) -> None:
    for folder in ("news", "wiki"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}-00000.warc").write_bytes(folder.encode())
    every, news = str(tmp_path), str(tmp_path / "news")
    expected = {
        (every,): ["news", "wiki"],
        (f"web={every}",): ["web", "web"],
        (f"daily={news}", every): ["daily", "wiki"],
        (every, f"daily={news}"): ["daily", "wiki"],
    }
    for references, sources in expected.items():
        assert [s.source for s in sources_of(references, every)] == sources
    with pytest.raises(UsageError, match=r"news-00000\.warc: is declared as 'a' and as 'b'"):
        sources_of([f"a={every}", f"b={news}"], every)


def test_equal_files_are_copies_whatever_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.warc").write_bytes(b"same")
    (tmp_path / "c" / "y.warc").write_bytes(b"other")
    patterns = [str(tmp_path / folder) for folder in ("a", "b", "c")]
    found = sources_of(patterns, str(tmp_path))
    assert [(s.source, s.name, s.copy) for s in found] == [
        ("a", "x.warc", 0),
        ("b", "x.warc", 1),
        ("c", "x.warc", 2),
        ("c", "y.warc", 0),
    ]
    assert len({s.key for s in found}) == 4
    assert sources_of(reversed(patterns), str(tmp_path)) == found


def test_a_file_whose_name_is_no_utf8_counts_like_any_other(tmp_path: Path) -> None:
    crawl, root = tmp_path / os.fsdecode(b"caf\xe9"), str(tmp_path / "lake")
    crawl.mkdir()
    names = [os.fsdecode(b"\xff.html"), os.fsdecode(b"\xfe.html")]
    for name in names:
        put(crawl / name, b"<p>" + os.fsencode(name))
    found = sources_of([str(tmp_path / "*" / "*.html")], root)
    assert [(s.source, s.name) for s in found] == [("caf?", "?.html")] * 2
    assert crawl_digest(found) == crawl_digest(tuple(reversed(found)))
    remember(found, root)
    assert sources_of([str(crawl)], root) == found
    assert {storage.read_bytes(s.uri) for s in found} == {b"<p>\xff.html", b"<p>\xfe.html"}


def test_the_digest_follows_sources_names_sizes_and_contents_but_not_places() -> None:
    one, other = (
        Source("/a/x", "x", 3, "c1", "web", modified=LONG_AGO),
        Source("/a/y", "y", 4, "c2", "web"),
    )
    moved = [Source("s3://b/y", "y", 4, "c2", "web"), Source("s3://b/x", "x", 3, "c1", "web")]
    assert crawl_digest([one, other]) == crawl_digest(moved)
    others = [
        [one],
        [other],
        [one, one, other],
        [one, Source("/a/y", "z", 4, "c2", "web")],
        [one, Source("/a/y", "y", 5, "c2", "web")],
        [one, Source("/a/y", "y", 4, "c3", "web")],
        [one, Source("/a/y", "y", 4, "c2", "news")],
    ]
    digests = {crawl_digest(sources) for sources in [[one, other], *others]}
    assert len(digests) == 1 + len(others)


def test_a_remembered_file_is_not_read_again(page: Path, lake_root: str) -> None:
    first = bound(page, lake_root)
    assert first.content == storage.content_hash(str(page))
    put(page, b"diff")
    assert bound(page, lake_root) == first


def test_only_new_files_are_read(page: Path, lake_root: str) -> None:
    first = bound(page, lake_root)
    put(page, b"diff")
    new = page.with_name("second.html")
    put(new, b"new")
    found = sources_of([str(page.parent)], lake_root)
    assert found[0] == first
    assert found[1].content == storage.content_hash(str(new))
    remember(found, lake_root)
    put(new, b"old")
    assert sources_of([str(page.parent)], lake_root) == found


def test_a_file_whose_mtime_or_size_has_changed_is_read_again(page: Path, lake_root: str) -> None:
    contents = [bound(page, lake_root).content]
    for content, modified in ((b"diff", LONG_AGO + 0.25), (b"longer", LONG_AGO + 0.25)):
        put(page, content, modified)
        contents.append(bound(page, lake_root).content)
        assert contents[-1] == storage.content_hash(str(page))
    assert len(set(contents)) == 3


def test_binding_alone_writes_nothing(page: Path, lake_root: str) -> None:
    sources_of([str(page)], lake_root)
    assert storage.list_files(lake_root) == []


def test_a_file_that_was_just_written_is_not_remembered(page: Path, lake_root: str) -> None:
    page.write_bytes(b"same")
    now = page.stat().st_mtime
    bound(page, lake_root)
    assert storage.list_files(lake_root) == []
    put(page, b"diff", now)
    assert bound(page, lake_root).content == storage.content_hash(str(page))


def test_a_file_that_changed_after_it_was_bound_is_not_remembered(
    page: Path, lake_root: str
) -> None:
    sources = sources_of([str(page)], lake_root)
    put(page, b"diff", LONG_AGO + 1)
    remember(sources, lake_root)
    assert storage.list_files(lake_root) == []


def test_a_link_is_as_old_as_what_it_leads_to(page: Path, lake_root: str) -> None:
    link = page.with_name("link.html")
    link.symlink_to(page)
    first = bound(link, lake_root)
    assert first.modified == LONG_AGO
    put(page, b"diff", LONG_AGO + 1)
    assert bound(link, lake_root).content == storage.content_hash(str(page)) != first.content


def cut(data: bytes) -> Iterator[bytes]:
    """The file, cut short."""
    yield from (data[:size] for size in range(0, len(data), 97))


def flipped(data: bytes) -> Iterator[bytes]:
    """The file with one byte changed, each seventh in turn."""
    for place in range(0, len(data), 7):
        yield data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]


@pytest.mark.parametrize("damage", [cut, flipped])
def test_a_damaged_memory_is_none(
    page: Path, lake_root: str, damage: Callable[[bytes], Iterator[bytes]]
) -> None:
    first = bound(page, lake_root)
    where = storage.join(lake_root, MEMORY)
    for damaged in damage(storage.read_bytes(where)):
        Path(where).write_bytes(damaged)
        assert bound(page, lake_root) == first


def test_an_object_counts_with_its_etag_and_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def watched(application: Application) -> Application:
        serve = one_at_a_time(application)

        def answer(environment: dict[str, Any], start: Any) -> Any:
            asked.append((environment["REQUEST_METHOD"], environment["PATH_INFO"]))
            return serve(environment, start)

        return answer

    with s3_server(watched) as endpoint:
        use_s3(endpoint, monkeypatch)
        make_bucket("crawl")
        storage.write_bytes("s3://crawl/web/a.warc", b"same")
        asked.clear()
        (source,) = sources_of(["s3://crawl/web/*.warc"], "s3://crawl/lake")
        remember([source], "s3://crawl/lake")
        assert len(source.content) == 32
        assert ("GET", "/crawl/web/a.warc") not in asked
        assert storage.read_bytes(source.uri) == b"same"
        assert ("GET", "/crawl/web/a.warc") in asked
        assert storage.list_files("s3://crawl/lake") == []
        forget_s3()
