"""Encoded shards to one corpus: which split each document is in, and all rows in a seeded global
order.

In: the shards of a documents artifact and what their texts were encoded to. Documents that a later
step dropped (a duplicate, say) are left out here: their tokens stay in their shards for the next
run. Out: files of one split each, row groups of about `row_group_tokens`. Tokens are shuffled once,
texts never.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.lake.parquet import RowsFile, batches
from infra.lake.rows import Stack, read_rows
from infra.manifest import REJECTED_ROWS, FileEntry
from jobs.spark.documents import numbered
from jobs.spark.order import keyed_hash, slot
from jobs.spark.parts import attempt_name, write_partitions
from jobs.spark.places import answers_at, rows_at
from jobs.spark.session import Session
from jobs.tokens.encoding import ENCODED

TOKEN_ROWS = 256
SURVEYED_ROWS = 8192
ROW_ORDER = ("order", "doc_id", "row_id", "part")
NAMES = ("doc_id", "source", "tokens", "n_tokens", "n_bytes", "split")
WRITTEN = pa.schema([ENCODED.field(name) for name in NAMES])
REJECTED = pa.schema(
    [
        ("shard", pa.int32()),
        *(ENCODED.field(name) for name in ("row", "row_id", "doc_id", "source")),
        ("reject_reason", pa.string()),
    ]
)
SURVEYED = ("row", "doc_id", "source", "part", "n_tokens", "n_bytes")
PLACED = (
    "place int, order long, shard int, row int, row_id binary, doc_id binary, source string,"
    " part int, split string, tokens binary, n_tokens int, n_bytes int"
)


@dataclass(frozen=True)
class Totals:
    """What the corpus holds, by split.

    rows       rows of tokens; documents: each once
    empty      documents without a token, by shard
    least      the least hash of a document, None for no document
    bound      documents whose hash is below it validate
    """

    tokens: dict[str, int]
    bytes: dict[str, int]
    rows: dict[str, int]
    documents: int
    empty: list[int]
    least: int | None
    bound: int

    @classmethod
    def of(cls, surveys: Sequence[dict[str, Any]]) -> "Totals":
        """The sum over all shards' surveys."""
        hashes = [survey["least"] for survey in surveys if survey["least"] is not None]

        def by_split(name: str) -> dict[str, int]:
            return {s: sum(survey[name][s] for survey in surveys) for s in ("train", "val")}

        return cls(
            by_split("tokens"),
            by_split("bytes"),
            by_split("rows"),
            sum(survey["documents"] for survey in surveys),
            [survey["empty"] for survey in surveys],
            min(hashes, default=None),
            surveys[0]["bound"] if surveys else 0,
        )

    @property
    def no_tokens(self) -> int:
        """Documents without a token."""
        return sum(self.empty)


@dataclass(frozen=True)
class Corpus:
    """The encoded shards of a documents artifact; travels to the workers.

    folder   the tokens artifact's, below the root
    stacks   the shards of documents; encoded: the path of what each was encoded to
    """

    root: str
    folder: str
    stacks: list[Stack]
    encoded: list[str]
    seed: int

    @property
    def places(self) -> int:
        """How many shards there are."""
        return len(self.stacks)

    def rows(self, place: int, columns: Sequence[str], bound: int) -> Iterator[pa.RecordBatch]:
        """The encoded rows of one shard that no later step dropped: `shard`, these columns (row and
        doc_id among them), `split`, and `order`, their place in the global order."""
        stack = self.stacks[place]
        left = None
        if stack.keyed:
            numbers = [rows.column("row") for rows in read_rows(self.root, stack, [])]
            left = pa.chunked_array(numbers, pa.int32()).combine_chunks()
        wanted = [*columns, "split"]
        batch_rows = TOKEN_ROWS if "tokens" in columns else SURVEYED_ROWS
        for rows in batches(self.root, self.encoded[place], wanted, batch_rows):
            if left is not None:
                rows = rows.filter(pc.is_in(rows.column("row"), left))
            if not rows.num_rows:
                continue
            ids = rows.column("doc_id")
            drawn = pc.if_else(keyed_hash(ids, self.seed, "split") < bound, "val", "train")
            split = pc.coalesce(rows.column("split"), drawn)
            order = pa.array(keyed_hash(ids, self.seed, "order"))
            rows = rows.set_column(rows.schema.get_field_index("split"), "split", split)
            yield numbered(rows, stack.shard).append_column("order", order)

    def surveyor(self, bound: int) -> Callable[[int], dict[str, Any]]:
        """What each shard holds, where hashes below `bound` validate; runs in the workers."""
        return lambda place: self.survey(place, bound)

    def survey(self, place: int, bound: int) -> dict[str, Any]:
        """Tokens, bytes and rows by split; documents with and without a token; the least hash."""
        found: dict[str, dict[str, int]] = {
            name: dict.fromkeys(("train", "val"), 0) for name in ("tokens", "bytes", "rows")
        }
        documents = empty = 0
        least: int | None = None
        for rows in self.rows(place, SURVEYED, bound):
            full = rows.filter(pc.greater(rows.column("n_tokens"), 0))
            empty += rows.num_rows - full.num_rows
            if not full.num_rows:
                continue
            documents += pc.sum(pc.equal(full.column("part"), 0)).as_py()
            drawn = int(keyed_hash(full.column("doc_id"), self.seed, "split").min())
            least = drawn if least is None else min(least, drawn)
            for split in ("train", "val"):
                here = full.filter(pc.equal(full.column("split"), split))
                found["tokens"][split] += pc.sum(here.column("n_tokens")).as_py() or 0
                found["bytes"][split] += pc.sum(here.column("n_bytes")).as_py() or 0
                found["rows"][split] += here.num_rows
        return {**found, "documents": documents, "empty": empty, "least": least, "bound": bound}

    def reject(self, place: int) -> dict[str, Any]:
        """Write one shard's documents without a token; the file's entry."""
        path = f"{self.folder}/{REJECTED_ROWS}/{attempt_name(f'no-tokens-{place:05d}')}"
        with RowsFile(self.root, path, REJECTED) as file:
            for rows in self.rows(place, [*SURVEYED, "row_id"], 0):
                empty = rows.filter(pc.equal(rows.column("n_tokens"), 0))
                reason = pa.array(["no_tokens"] * empty.num_rows, pa.string())
                file.write(empty.append_column("reject_reason", reason))
        assert file.entry is not None
        return asdict(file.entry)


def write_rejected(session: Session, corpus: Corpus, totals: Totals) -> list[FileEntry]:
    """Write the documents without a token; a file for each shard that has some."""
    places = [place for place, count in enumerate(totals.empty) if count]
    entries = answers_at(session, len(places), lambda n: corpus.reject(places[n])) if places else []
    return [FileEntry(**entry) for entry in entries]


def write_ordered(
    session: Session, corpus: Corpus, totals: Totals, file_tokens: int, row_group_tokens: int
) -> list[dict[str, Any]]:
    """Write all rows in the seeded order, train files before val files; of each file its entry, its
    split and the tokens of its row groups.

    A partition is a range of the order, so that files follow each other in it.
    """
    files = {split: -(-totals.tokens[split] // file_tokens) for split in ("train", "val")}
    names = [name.split()[0] for name in PLACED.split(", ")]
    bound, root, folder = totals.bound, corpus.root, corpus.folder

    def placed(place: int) -> Iterator[pa.RecordBatch]:
        for rows in corpus.rows(place, ENCODED.names[:-4] + ENCODED.names[-3:], bound):
            rows = rows.filter(pc.greater(rows.column("n_tokens"), 0))
            order = rows.column("order").to_numpy()
            val = slot(order, files["val"]) + np.int32(files["train"])
            trains = np.array(rows.column("split").to_pylist()) == "train"
            where = np.where(trains, slot(order, files["train"]), val)
            rows = rows.append_column("place", pa.array(where.astype(np.int32)))
            yield rows.select(names)

    def write(number: int, found: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
        path = f"{folder}/{attempt_name(f'part-{number:05d}')}"
        split = "train" if number < files["train"] else "val"
        groups: list[int] = []
        waiting = 0
        with RowsFile(root, path, WRITTEN, grouped=True) as file:
            for rows in found:
                for piece in _cut(rows, row_group_tokens, waiting):
                    file.write(piece)
                    waiting += pc.sum(piece.column("n_tokens")).as_py()
                    if waiting >= row_group_tokens:
                        file.end_group()
                        groups.append(waiting)
                        waiting = 0
            if waiting:
                groups.append(waiting)
        if file.rows and file.entry:
            yield {"file": asdict(file.entry), "split": split, "row_groups": groups}

    session.shuffle_by(sum(totals.tokens.values()) * 4)
    rows = rows_at(session, corpus.places, placed, PLACED)
    ordered = rows.repartitionById(files["train"] + files["val"], "place")
    return write_partitions(ordered.sortWithinPartitions(*ROW_ORDER), write)


def _cut(rows: pa.RecordBatch, limit: int, waiting: int) -> Iterator[pa.RecordBatch]:
    """The rows in pieces, each up to where a row group reaches its limit of tokens."""
    start = 0
    tokens = waiting
    for place, count in enumerate(rows.column("n_tokens").to_pylist()):
        tokens += count
        if tokens >= limit:
            yield rows.slice(start, place + 1 - start)
            start, tokens = place + 1, 0
    if start < rows.num_rows:
        yield rows.slice(start)
