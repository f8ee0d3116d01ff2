"""What a user's input names: a file, the files of a directory, or those that a glob matches.

On a disk a link to a file is a file, also one that leads to the same file as another name. Links to
directories are followed within a directory; of what several ways lead to, one counts, so circles
have an end. A link that leads nowhere is an error, as is a file that cannot be read.
"""

import os
import stat
from collections.abc import Iterator
from typing import Any

from infra.storage.files import FileInfo

GLOB_SIGNS = "*?["
SET_ASIDE = ("_", ".")
"""Files and folders of a directory whose names begin so do not count: `_SUCCESS`, `.part`."""


def files_named(fs: Any, path: str, scheme: str) -> list[FileInfo]:
    """The files that `path` names on an fsspec file system that lists, sorted by URI.

    The `path` of each is its own name. Raises what the file system raises where it cannot be read.
    """
    found = [file_info(entry, scheme) for entry in _entries(fs, path)]
    return sorted(found, key=lambda info: info.uri)


def _entries(fs: Any, path: str) -> list[dict[str, Any]]:
    if fs.isfile(path):  # a name may hold a glob's signs
        return [fs.info(path)]
    if any(sign in path for sign in GLOB_SIGNS):
        return [entry for entry in fs.glob(path, detail=True).values() if _is_file(entry)]
    if fs.isdir(path):
        return list(_below(fs, path, path, [os.path.realpath(path)]))
    return []


def _below(fs: Any, top: str, folder: str, listed: list[str]) -> Iterator[dict[str, Any]]:
    """The files in and below `folder`, which is `top` or a link below it, but for those in the real
    directories that were `listed` before its own, the last one."""
    *before, _ = listed
    for entry in fs.find(folder, detail=True).values():
        name = entry["name"]
        if not _counts(name[len(top) :]) or (before and _is_in(os.path.dirname(name), before)):
            continue
        if _is_file(entry):
            yield entry
        elif entry.get("islink") and not _is_in(name, listed):
            listed.append(os.path.realpath(name))
            yield from _below(fs, top, name, listed)


def _is_in(path: str, folders: list[str]) -> bool:
    """Whether a path is really one of these directories or below one."""
    real = os.path.realpath(path)
    return any(os.path.commonpath([real, folder]) == folder for folder in folders)


def _is_file(entry: dict[str, Any]) -> bool:
    """Not a folder, nor the empty object that S3A leaves in a folder's place. Raises OSError for a
    link that leads nowhere."""
    if entry.get("islink"):
        return stat.S_ISREG(_target(entry).st_mode)
    return bool(entry["type"] == "file") and not str(entry["name"]).endswith("/")


def _target(link: dict[str, Any]) -> os.stat_result:
    try:
        return os.stat(link["name"])
    except FileNotFoundError:
        raise OSError(f"{link['name']} is a link that leads nowhere; remove it") from None


def _counts(relative: str) -> bool:
    return not any(part.startswith(SET_ASIDE) for part in relative.strip("/").split("/"))


def file_info(entry: dict[str, Any], scheme: str) -> FileInfo:
    """A file as an fsspec file system describes it."""
    name = entry["name"]
    return FileInfo(
        f"s3://{name}" if scheme == "s3" else name,
        name.rsplit("/", 1)[-1],
        int(entry.get("size") or 0),
        _modified(entry),
        str(entry.get("ETag", entry.get("etag", "")) or "").strip('"'),
    )


def _modified(entry: dict[str, Any]) -> float:
    """By what the place calls it; of a link, when what it leads to was written."""
    if entry.get("islink"):
        return _target(entry).st_mtime
    if "LastModified" in entry:
        return float(entry["LastModified"].timestamp())
    return float(entry.get("mtime") or 0.0)
