"""Raw crawl files to documents: read, decode, main content, language.

In: crawl files in any format that `jobs.crawl` reads. Out: a row for every record of every file,
pages as documents (columns: `jobs.page.document.SCHEMA`), all others rejected with one of
`jobs.crawl.REASONS` and what exactly was wrong in `detail`; rejected rows have no text.

The unit of work is a bundle (`jobs.crawl.bundles`): one crawl file, a range of a large one that
can be split, or many small ones. A bundle is extracted once in the life of a lake: its shard is
named by the names, sizes and contents of its files. Rows in are counted from the records' indexes
in their files, not from rows.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import pyarrow as pa

from infra import storage
from infra.errors import GristmillError
from infra.lake.parquet import BYTES_PER_GROUP, ROWS_PER_GROUP
from infra.lake.shards import NewShard, ShardMap
from infra.manifest import Counts, Manifest
from infra.parameters import identity_of, option, parameters
from infra.step import CRAWL, DOCUMENTS, Launch, Rate, Step, Task
from jobs.crawl import MAX_PAGE_BYTES, records
from jobs.crawl.bundles import Bundle, Piece, bundles
from jobs.page.document import SCHEMA, document
from jobs.spark.documents import layer_files
from jobs.spark.maps import Work, make_all, tally
from jobs.spark.session import Session

KEPT = pa.schema([field for field in SCHEMA if field.name not in ("reject_reason", "detail")])
LIBRARIES = ("fastwarc", "pycld2", "python", "resiliparse")
REJECTED = pa.schema([field for field in SCHEMA if field.name != "text"])


@parameters
class ExtractParameters:
    """Which pages become documents."""

    max_page_bytes: int = option(
        MAX_PAGE_BYTES, "larger pages are rejected as `too_large`", unit="bytes", gt=0
    )
    min_chars: int = option(
        1, "pages with less main text are rejected as `empty`", unit="characters", ge=1
    )


def maps(task: Task) -> tuple[ShardMap, ...]:
    """Bundle to documents; its shards are built by `Extract`, not from rows."""
    given = identity_of(task.parameters)
    return (ShardMap("extract", 2, given, (), KEPT, iter, libraries=LIBRARIES),)


STEP = Step(
    name="extract",
    kind="documents",
    version=3,
    help="Crawl files to documents: decode, main content, language.",
    parameters=ExtractParameters,
    reads=(CRAWL,),
    role=DOCUMENTS,
    module="jobs.extract",
    launch=Launch.SPARK,
    funnel=True,
    rate=Rate(0.02, kept=0.5),
    maps=maps,
    libraries=LIBRARIES,
)


def run(session: Session, task: Task) -> Manifest:
    """Execute the step. Raises GristmillError when a record was lost."""
    (shard_map,) = maps(task)
    work = [
        Work(
            shard_map.shard_name(bundle.identity()),
            Extract(bundle, task.parameters.max_page_bytes, task.parameters.min_chars),
            bundle.size_bytes,
        )
        for bundle in bundles(task.crawl)
    ]
    details = {
        "crawl": [
            {"uri": storage.public_uri(s.uri), "bytes": s.size_bytes, "content": s.content}
            for s in task.crawl
        ],
        "bytes_in": sum(source.size_bytes for source in task.crawl),
    }
    with task.lake.begin(task.identity, task.name) as writer:
        made = make_all(session, writer, STEP.name, work)
        return writer.commit(
            reduce(add, (shard.counts for shard in made), Counts()),
            files=layer_files(made, 0),
            schema=[{"name": field.name, "type": str(field.type)} for field in KEPT],
            details=details,
            spark_application_id=session.application_id,
        )


class Extract:
    """Builds the shard of a bundle: kept rows and rejected rows, a file each. Runs in a worker."""

    def __init__(self, bundle: Bundle, max_page_bytes: int, min_chars: int) -> None:
        self.bundle = bundle
        self.max_page_bytes = max_page_bytes
        self.min_chars = min_chars

    def __call__(self, new: NewShard) -> Counts:
        """Every record of every piece. Raises GristmillError when one was lost."""
        rows_in, sizes, reasons = 0, [], []
        with new.rows(KEPT) as kept, new.rows(REJECTED, rejected=True) as rejected:
            for piece in self.bundle.pieces:
                seen: list[int] = []
                for record_numbers, rows in self.batches(piece):
                    seen += record_numbers
                    reason = rows.column("reject_reason")
                    kept.write(rows.filter(reason.is_null()))
                    rejected.write(rows.filter(reason.is_valid()))
                    sizes.append(rows.column("n_bytes"))
                    reasons.append(reason)
                count = max(seen, default=-1) + 1
                nothing = not seen and piece.part is None
                if nothing or sorted(seen) != list(range(count)):
                    raise GristmillError(
                        f"{storage.public_uri(piece.uri)}: {len(seen)} rows for {count} records;"
                        " please report this"
                    )
                rows_in += count
        return replace(tally(sizes, reasons), rows_in=rows_in)

    def batches(self, piece: Piece) -> Iterator[tuple[list[int], pa.RecordBatch]]:
        """The rows of one piece in batches of bounded size, with their records' numbers."""
        numbers: list[int] = []
        rows: list[dict[str, Any]] = []
        size = 0
        for record in records(piece.uri, self.max_page_bytes, piece.part):
            numbers.append(record.index)
            rows.append(document(record, piece.name, self.min_chars))
            size += rows[-1]["n_bytes"]
            if len(rows) >= ROWS_PER_GROUP or size >= BYTES_PER_GROUP:
                yield numbers, pa.RecordBatch.from_pylist(rows, SCHEMA)
                numbers, rows, size = [], [], 0
        if rows:
            yield numbers, pa.RecordBatch.from_pylist(rows, SCHEMA)
