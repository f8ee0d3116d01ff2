"""Large files in parts, so that one file is more than one task: where to cut.

In: a crawl file and how large a part should be. Out: ranges in the units that the format has. The
records of all parts in order are the records of the whole file, but for `Record.index`, which
starts at 0 in each part. Uncompressed JSONL can be cut anywhere, Parquet between row groups; all
other files are one part: a compressed member or a WARC record is found from the file's beginning
only, and crawls come in files of a size to be read whole.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import IO

from infra import storage
from jobs.crawl.compressed import codec_of
from jobs.crawl.kinds import HEAD_BYTES, is_parquet, kind_of
from jobs.crawl.parquet import footer


class NoParts(ValueError):
    """A part was asked for of a file that has none."""


@dataclass(frozen=True)
class Range:
    """A part [start, end), 0 <= start < end: of JSONL the lines that start in these bytes, of
    Parquet these row groups."""

    start: int
    end: int


def ranges(uri: str, size_bytes: int, target_bytes: int) -> list[Range | None]:
    """The parts of a file of `size_bytes`, each of about `target_bytes` (a Parquet row group is
    never cut); [None], the whole file, where that is one part or cannot be cut.

    Reads the first 4 KiB of a larger file, and a Parquet file's footer. A file that cannot be
    opened is one part: its reader says why.
    """
    if size_bytes <= target_bytes:
        return [None]
    name = storage.base_name(uri)
    try:
        with storage.open_read(uri) as stream:
            head = stream.read(HEAD_BYTES)
            if not stream.seekable() or codec_of(head):
                return [None]
            if is_parquet(head, name):
                bounds = _between_row_groups(stream, size_bytes, target_bytes)
            elif kind_of(head, name) == "jsonl" and head.strip():
                count = -(-size_bytes // max(target_bytes, 2 * HEAD_BYTES))
                bounds = [size_bytes * part // count for part in range(count + 1)]
            else:
                return [None]
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        return [None]
    found: list[Range | None] = [Range(start, end) for start, end in pairwise(bounds)]
    return found if len(found) > 1 else [None]


def _between_row_groups(stream: IO[bytes], size_bytes: int, target_bytes: int) -> list[int]:
    """Numbers of row groups at which to cut, both ends included; none for a file to read whole.

    How much of the file a row group is follows from its uncompressed size: its place in the file
    is not asked for, as Arrow ends the process over some broken footers then.
    """
    metadata = footer(stream)
    if metadata is None or metadata.num_rows < 1:
        return []
    sizes = [metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)]
    bounds, held = [0], 0
    for group, size in enumerate(sizes):
        held += size
        if held * size_bytes >= target_bytes * sum(sizes):
            bounds.append(group + 1)
            held = 0
    return bounds if bounds[-1] == len(sizes) else [*bounds, len(sizes)]
