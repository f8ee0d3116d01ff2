"""What all places share: a file as a listing shows it, and the size of a block that is read."""

from dataclasses import dataclass

BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class FileInfo:
    """A file of a listing."""

    uri: str
    """Where to read it."""
    path: str
    """Relative to the folder that was listed, parts separated by `/`."""
    size_bytes: int
    modified: float = 0.0
    """Seconds since 1970, by the clock of the place; 0 where a web server does not say."""
    etag: str = ""
    """The object store's or web server's mark of this content; empty on a local disk."""
