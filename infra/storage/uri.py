"""URIs as plain strings: which place they name, their parts, and the form that may be shown.

A local path needs no scheme (`data/a.parquet`, `/data/a.parquet`, `file:///data/a.parquet`); the
others are `s3://bucket/key` and, to read from only, `https://` and `http://`. Nothing here opens
anything; `normal_root` alone asks whether a path is a file.
"""

import os
import re
from urllib.parse import urlsplit

from infra.errors import DamagedError, UsageError, nearest
from infra.show import well_formed

SCHEMES = ("file", "s3", "https", "http")
WEB = ("https", "http")
MISTYPED = re.compile(r"(file|s3[an]?|https?):/?(?!/)", re.IGNORECASE)
SCHEMED = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(?=[^/])|(s3[an]?|https?)(?::/?|//)(?=[^/])", re.IGNORECASE
)
"""How an address begins, a mistyped one too; what has no host is a path."""
HOST = re.compile(r".*?//(?=[^/])", re.DOTALL)
"""Up to where a host would stand, in what is no address at all."""
ADDRESS = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*:)?//[^\s'\"<>()]+")
NO_LOGIN = re.compile(r"^[^:]*(:\d*)?$|^\[[^\]]*\](:\d*)?$")
QUERYLESS = ("file", "s3")
"""In these `?` and `#` are letters of a name like any other."""


def scheme_of(uri: str) -> str:
    """The URI's scheme, `file` for a plain path. Raises UsageError for an unknown one, and for an
    address with a password, which would be stored and shown with it."""
    written = uri.split("://", 1)[0] if "://" in uri else "file"
    scheme = written.lower() if written.lower() in WEB else written
    shown = public_uri(uri)
    if scheme not in SCHEMES:
        raise UsageError(f"{shown}: unknown scheme '{scheme}://'{nearest(scheme.lower(), SCHEMES)}")
    if MISTYPED.match(uri):
        typed = uri.split(":")[0]
        raise UsageError(f"{shown}: '{typed}:' needs two slashes; write {typed.lower()}://")
    if scheme == "file":
        return scheme
    if _after_login(uri) != uri:
        kept = "AWS_ACCESS_KEY_ID and its like" if scheme == "s3" else "~/.netrc"
        raise UsageError(f"{shown}: no user or password in an address; keep it in {kept}")
    if scheme == "s3" and not urlsplit(uri).netloc:
        raise UsageError(f"{shown}: no bucket; write s3://bucket/prefix")
    return scheme


def is_local(uri: str) -> bool:
    """Whether `uri` is on this machine's file system."""
    return scheme_of(uri) == "file"


def local_path(uri: str) -> str:
    """The file-system path of a local URI."""
    return uri.removeprefix("file://")


def join(uri: str, *parts: str) -> str:
    """`uri/part/part`. Raises DamagedError for a part that leads out of `uri`: it was read from a
    file that nobody of ours wrote."""
    for part in parts:
        if ".." in part.split("/"):
            raise DamagedError(f"{part!r}: leads out of {public_uri(uri)}; nothing was touched")
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
    return well_formed(_path(uri).rstrip("/").rsplit("/", 1)[-1])


def folder_name(uri: str) -> str:
    """The name of the folder that a file is in, as text; of a file at the top the bucket or host,
    empty for a local one."""
    path = os.path.abspath(local_path(uri)) if is_local(uri) else _path(uri)
    folders = [part for part in path.split("/") if part][:-1]
    return well_formed(folders[-1] if folders else urlsplit(uri).hostname or "")


def public_uri(uri: str) -> str:
    """The URI as it may be shown and stored: text without user, password, query and fragment.

    Takes every URI, a database's and a mistyped one too; a local path is public as it is,
    but for bytes that are no UTF-8.
    """
    shown = _after_login(uri)
    found = SCHEMED.match(shown)
    if not found or (found[1] or found[2]).lower() in QUERYLESS:
        return well_formed(shown)
    return well_formed(re.split(r"[?#]", shown, maxsplit=1)[0])


def public_text(text: str) -> str:
    """A text with each web address in it as it may be shown."""
    return ADDRESS.sub(lambda found: public_uri(found[0]), text)


def _after_login(uri: str) -> str:
    """The URI without user and password, whatever stands before its `//`. What stands before a port
    that is no number is a user, and the password then ends at the last `@`, whatever it holds."""
    found = SCHEMED.match(uri) or HOST.match(uri)
    if not found or found[0].lower().startswith("file:"):
        return uri
    rest = uri[found.end() :]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return found[0] + authority.rpartition("@")[2] + rest[len(authority) :]
    if "@" in rest and not NO_LOGIN.match(authority):
        return found[0] + rest.rpartition("@")[2]
    return uri


def _path(uri: str) -> str:
    if "://" not in uri:
        return uri
    scheme, _, rest = uri.partition("://")
    if scheme not in QUERYLESS:
        return urlsplit(uri).path
    _, slash, path = rest.partition("/")
    return slash + path
