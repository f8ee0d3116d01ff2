"""How crawl files are cut into units of work: a file, a range of a large one, or many small ones.

A file of at least SMALL_BYTES is a unit of its own, or several where its format can be split.
Smaller ones, in the order of their names, are bundled up to the next file whose own hash says that
a bundle ends there (content-defined chunking: Muthitacharoen, Chen and Mazieres, A low-bandwidth
network file system, 2001, 3.1), once in TARGET_BYTES on average: one page more touches one bundle,
whatever its place. No Spark.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from infra.crawl import Source
from jobs.crawl.ranges import Range, ranges
from jobs.crawl.record import Origin

SMALL_BYTES = 1 << 20
TARGET_BYTES = 4 << 20
FILE_BYTES = 4096
"""What opening a file costs, in bytes read."""
SPLIT_BYTES = 64 << 20


@dataclass(frozen=True)
class Piece:
    """A crawl file, or a part of it."""

    source: Source
    part: Range | None = None

    @property
    def origin(self) -> Origin:
        """What its rows say of it."""
        of = self.source
        return Origin(of.name, of.source, of.key, self.part.start if self.part else None)

    def identity(self) -> list[Any]:
        """What its rows are made from."""
        of, part = self.source, self.part and [self.part.start, self.part.end]
        return [of.source, of.name, of.size_bytes, of.content, of.copy, part]


@dataclass(frozen=True)
class Bundle:
    """A unit of work."""

    pieces: tuple[Piece, ...]

    @property
    def size_bytes(self) -> int:
        """Size of its files; of a part, the file's, which is good enough for an order."""
        return sum(piece.source.size_bytes for piece in self.pieces)

    def identity(self) -> list[Any]:
        """What its documents are made from, wherever the files lie."""
        return [piece.identity() for piece in self.pieces]


def bundles(sources: Sequence[Source]) -> list[Bundle]:
    """The units of work of these files, each file or part of one in exactly one of them.

    Large files' heads or footers are read where their format may be split.
    """
    ordered = sorted(sources, key=lambda s: (s.name, s.content, s.copy))
    large = [source for source in ordered if source.size_bytes >= SMALL_BYTES]
    small = [source for source in ordered if source.size_bytes < SMALL_BYTES]
    alone = [Bundle((piece,)) for source in large for piece in _pieces(source)]
    return sorted([*alone, *_bundled(small)], key=_place)


def _place(bundle: Bundle) -> tuple[str, str, int, int]:
    """The order of bundles: of their first files' names, then of the parts of a file."""
    of, part = bundle.pieces[0].source, bundle.pieces[0].part
    return of.name, of.content, of.copy, part.start if part else 0


def _pieces(source: Source) -> Iterator[Piece]:
    for part in ranges(source.uri, source.size_bytes, SPLIT_BYTES):
        yield Piece(source, part)


def _bundled(small: Sequence[Source]) -> Iterator[Bundle]:
    waiting: list[Piece] = []
    for source in small:
        waiting.append(Piece(source))
        if _ends(source):
            yield Bundle(tuple(waiting))
            waiting = []
    if waiting:
        yield Bundle(tuple(waiting))


def _ends(source: Source) -> bool:
    """Whether a bundle ends with this file: by its hash, more likely the larger it is."""
    text = f"{source.name} {source.content}".encode()
    drawn = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    return drawn * TARGET_BYTES < (source.size_bytes + FILE_BYTES) << 64
