"""What a user's input names: a file, the files of a directory, or those that a glob matches."""

import os
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
        found = fs.find(path, detail=True).values()
        return [entry for entry in found if _is_file(entry) and _counts(entry["name"][len(path) :])]
    return []


def _is_file(entry: dict[str, Any]) -> bool:
    """Not a folder, nor the empty object that S3A leaves in a folder's place."""
    return bool(entry["type"] == "file") and not str(entry["name"]).endswith("/")


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
        return os.stat(entry["name"]).st_mtime
    if "LastModified" in entry:
        return float(entry["LastModified"].timestamp())
    return float(entry.get("mtime") or 0.0)
