"""URIs: schemes, one spelling for a root, names and the form that may be shown."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra import storage
from infra.errors import UsageError


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
        ("HTTPS:/host/x", "'HTTPS:' needs two slashes; write https://"),
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


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/data/a.warc.gz", "a.warc.gz"),
        ("a.warc.gz", "a.warc.gz"),
        ("file:///data/a#1?.html", "a#1?.html"),
        ("s3://bucket/crawl/a#1?.html", "a#1?.html"),
        ("s3://bucket/crawl/", "crawl"),
        ("s3://bucket", ""),
        ("https://host/crawl/a.warc.gz?token=1/2#top", "a.warc.gz"),
        ("https://host", ""),
        (os.fsdecode(b"/data/caf\xe9.warc"), "caf?.warc"),
    ],
)
def test_a_file_has_a_name_of_its_own(uri: str, name: str) -> None:
    assert storage.base_name(uri) == name


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("/data/web/a.warc.gz", "web"),
        ("file:///data/web/a#1?.html", "web"),
        ("/a.warc.gz", ""),
        (os.fsdecode(b"/caf\xe9/a.warc"), "caf?"),
        ("s3://bucket/crawl/2024/a.warc", "2024"),
        ("s3://bucket/a.warc", "bucket"),
        ("https://host:8443/crawl/a.warc.gz?token=1/2#top", "crawl"),
        ("https://host:8443/a.warc.gz", "host"),
    ],
)
def test_a_file_is_in_a_folder_with_a_name(uri: str, folder: str) -> None:
    assert storage.folder_name(uri) == folder


def test_a_bare_name_is_in_the_folder_that_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.folder_name("a.warc.gz") == tmp_path.name


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("/data/a?b@c#d.warc", "/data/a?b@c#d.warc"),
        ("file:///data/a?b@c#d.warc", "file:///data/a?b@c#d.warc"),
        (os.fsdecode(b"/data/caf\xe9.warc"), "/data/caf?.warc"),
        ("s3://bucket/a?b@c#d.warc", "s3://bucket/a?b@c#d.warc"),
        ("s3://bucket", "s3://bucket"),
        ("https://user:secret@host:8443/a/b.warc.gz?token=1#x", "https://host:8443/a/b.warc.gz"),
        ("postgresql://user:secret@host/runs?password=1", "postgresql://host/runs"),
        ("sqlite:////data/lake/mlflow.db", "sqlite:////data/lake/mlflow.db"),
        ("https:/user:secret@host/x?token=secret", "https:/host/x"),
        ("htps://user:secret@host/x", "htps://host/x"),
        ("https://user:se/c#r?et@host/x", "https://host/x"),
        ("https://host:80/@name/x", "https://host:80/@name/x"),
        ("https://[::1]:80/a@b", "https://[::1]:80/a@b"),
        ("s3://key:secret@bucket/x", "s3://bucket/x"),
        ("HTTPS://user:secret@host/x?token=1", "HTTPS://host/x"),
        ("https//user:secret@host/x?token=1", "https//host/x"),
        ("htp//user:se/cret@host/x", "htp//host/x"),
        ("//user:secret@host/x", "//host/x"),
        ("data//user:secret@host/x", "data//host/x"),
        ("https:///user:secret@host/x", "https:///host/x"),
        ("/data//crawl/a@b.warc", "/data//crawl/a@b.warc"),
        ("file:///data//a@b.warc", "file:///data//a@b.warc"),
    ],
)
def test_what_is_shown_of_a_uri_holds_no_secret_and_loses_no_name(uri: str, shown: str) -> None:
    assert storage.public_uri(uri) == shown


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("https://user:secret@host/x", "https://host/x: no user or password .* in ~/.netrc$"),
        ("https://secret@host/x?token=secret", "https://host/x: no user or password"),
        ("https://user:s/ecret@host/x", "https://host/x: no user or password"),
        ("s3://key:secret@bucket/x", "s3://bucket/x: no user or password .* AWS_ACCESS_KEY_ID"),
        ("htps://user:secret@host/x", "htps://host/x: unknown scheme"),
        ("https:/user:secret@host/x", "https:/host/x: 'https:' needs two slashes"),
    ],
)
@pytest.mark.parametrize(
    "use", [storage.normal_root, storage.expand, storage.read_bytes, storage.exists]
)
def test_an_address_with_a_password_is_refused_without_repeating_it(
    use: Callable[[str], Any], uri: str, said: str
) -> None:
    with pytest.raises(UsageError, match=f"^{said}") as caught:
        use(uri)
    assert "secret" not in str(caught.value)


def test_a_text_is_shown_with_each_address_as_it_may_be_shown() -> None:
    said = "404, url='https://h/x?token=secret' (postgresql://a:secret@h/d) /tmp/a?b"
    assert storage.public_text(said) == "404, url='https://h/x' (postgresql://h/d) /tmp/a?b"


@pytest.mark.parametrize(
    "use",
    [
        storage.list_files,
        storage.list_names,
        storage.modified,
        storage.delete,
        storage.open_write,
        lambda uri: storage.write_bytes(uri, b""),
        lambda uri: storage.create_exclusive(uri, b""),
        lambda uri: storage.delete_many([uri]),
    ],
)
def test_a_web_server_is_only_read_from(use: Callable[[str], Any]) -> None:
    with pytest.raises(UsageError, match=r"^https://host/x: a web server is only read from"):
        use("https://host/x")
