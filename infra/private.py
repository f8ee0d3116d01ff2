"""Files that only this user can read: logs, databases, settings with a password among them."""

import os
from pathlib import Path
from typing import IO

FILE_MODE, FOLDER_MODE = 0o600, 0o700
OTHERS = 0o077
"""The permissions that nobody but the user may have."""


def private_folder(path: Path) -> Path:
    """The folder, made for this user alone where it is missing."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    return path


def private_file(path: Path) -> IO[bytes]:
    """A stream to the end of the file, which is made for this user alone where it is missing, with
    its folder. Raises OSError."""
    private_folder(path.parent)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
    return os.fdopen(number, "ab")
