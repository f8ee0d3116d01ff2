"""URIs as plain strings: which place they name, their parts, and the form that may be shown.

A local path needs no scheme (`data/a.parquet`, `/data/a.parquet`, `file:///data/a.parquet`); the
others are `s3://bucket/key` and, to read from only, `https://` and `http://`. Nothing here opens
anything; `normal_root` alone asks whether a path is a file.
"""

import os
import re
from urllib.parse import urlsplit, urlunsplit

from infra.errors import UsageError, nearest

SCHEMES = ("file", "s3", "https", "http")
MISTYPED = re.compile(r"(file|s3[an]?|https?):/?(?!/)")
QUERYLESS = ("file", "s3")
"""In these `?` and `#` are letters of a name like any other."""


def scheme_of(uri: str) -> str:
    """The URI's scheme, `file` for a plain path. Raises UsageError for an unknown one."""
    scheme = uri.split("://", 1)[0] if "://" in uri else "file"
    if scheme not in SCHEMES:
        raise UsageError(f"{uri}: unknown scheme '{scheme}://'{nearest(scheme.lower(), SCHEMES)}")
    if MISTYPED.match(uri):
        typed = uri.split(":")[0]
        raise UsageError(f"{uri}: '{typed}:' needs two slashes; write {typed}://")
    if scheme == "s3" and not urlsplit(uri).netloc:
        raise UsageError(f"{uri}: no bucket; write s3://bucket/prefix")
    return scheme


def is_local(uri: str) -> bool:
    """Whether `uri` is on this machine's file system."""
    return scheme_of(uri) == "file"


def local_path(uri: str) -> str:
    """The file-system path of a local URI."""
    return uri.removeprefix("file://")


def join(uri: str, *parts: str) -> str:
    """`uri/part/part`."""
    return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts)])


def normal_root(uri: str) -> str:
    """The lake's root in its one spelling: an absolute local path, or `s3://bucket/prefix`.

    Raises UsageError for anything else.
    """
    if uri and scheme_of(uri) == "s3":
        return uri.rstrip("/")
    if not uri or not is_local(uri):
        raise UsageError(f"'{uri}': the lake must be a directory or s3://bucket/prefix")
    path = os.path.abspath(local_path(uri))
    if os.path.exists(path) and not os.path.isdir(path):
        raise UsageError(f"{uri}: is a file; the lake must be a directory")
    return path


def base_name(uri: str) -> str:
    """The file's own name as text: the last part of the path, without a web address's query. Bytes
    of a local name that are no UTF-8 become `?`."""
    return _as_text(_path(uri).rstrip("/").rsplit("/", 1)[-1])


def folder_name(uri: str) -> str:
    """The name of the folder that a file is in, as text; of a file at the top the bucket or host,
    empty for a local one."""
    path = os.path.abspath(local_path(uri)) if is_local(uri) else _path(uri)
    folders = [part for part in path.split("/") if part][:-1]
    return _as_text(folders[-1] if folders else urlsplit(uri).hostname or "")


def public_uri(uri: str) -> str:
    """The URI as it may be shown and stored: text without user, password, query and fragment.

    Takes every URI, a database's too; a local path is public as it is, but for bytes that are no
    UTF-8.
    """
    if "://" not in uri:
        return _as_text(uri)
    parts = urlsplit(uri)
    if not parts.netloc:
        return _as_text(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], _path(uri), "", ""))


def _as_text(name: str) -> str:
    """The name with `?` for each byte that Python could not read as UTF-8."""
    return name.encode("utf-8", "replace").decode()


def _path(uri: str) -> str:
    if "://" not in uri:
        return uri
    scheme, _, rest = uri.partition("://")
    if scheme not in QUERYLESS:
        return urlsplit(uri).path
    _, slash, path = rest.partition("/")
    return slash + path
