"""Raw crawl files to documents: read, decode, main content, language.

In: crawl files in any format that `jobs.crawl` reads. Out: a row for every record of every file,
pages as documents (columns: `jobs.page.document.SCHEMA`), all others rejected with one of
`jobs.crawl.REASONS` and what exactly was wrong in `detail`; rejected rows have no text. What bears
on permission stays: response headers of all rows, the body of each robots.txt as `evidence`.

The unit of work is a bundle (`jobs.crawl.bundles`): one crawl file, a range of a large one that
can be split, or many small ones. A bundle is extracted once in the life of a lake: its shard is
named by the sources, names, sizes and contents of its files. Rows in are the records that the
readers counted, of Parquet the rows that its footer says, not the rows that were written.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import pyarrow as pa

from infra import storage
from infra.bounded import Budget
from infra.errors import GristmillError
from infra.lake.parquet import BYTES_PER_GROUP, ROWS_PER_GROUP
from infra.lake.shards import NewShard, ShardMap
from infra.manifest import Counts, Manifest
from infra.parameters import identity_of, option, parameters
from infra.step import CRAWL, DOCUMENTS, Launch, Rate, Step, Task
from jobs.crawl import MAX_PAGE_BYTES, REASONS, Found, records
from jobs.crawl.bundles import Bundle, Piece, bundles
from jobs.page.document import OF_REJECTED, SCHEMA, batches_of, document, size_of
from jobs.page.reading import PAGE_BUDGET, page_reader
from jobs.spark.documents import layer_files
from jobs.spark.maps import Work, make_all, tally
from jobs.spark.session import Session

LIBRARIES = ("fastwarc", "pycld2", "python", "resiliparse")
KEPT = pa.schema([field for field in SCHEMA if field.name not in OF_REJECTED])
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
    max_page_seconds: float = option(
        PAGE_BUDGET.cpu_seconds,
        "pages that take more processor time to read are rejected as `too_slow`",
        unit="processor seconds",
        gt=0,
    )
    max_page_memory_bytes: int = option(
        PAGE_BUDGET.memory_bytes,
        "pages that take more memory to read are rejected as `too_much_memory`",
        unit="bytes",
        ge=64 << 20,
    )


def maps(task: Task) -> tuple[ShardMap, ...]:
    """Bundle to documents; its shards are built by `Extract`, not from rows."""
    given = identity_of(task.parameters)
    return (ShardMap("extract", 3, given, (), KEPT, iter, libraries=LIBRARIES),)


STEP = Step(
    name="extract",
    kind="documents",
    version=4,
    help="Crawl files to documents: decode, main content, language.",
    parameters=ExtractParameters,
    reads=(CRAWL,),
    role=DOCUMENTS,
    module="jobs.extract",
    launch=Launch.SPARK,
    funnel=True,
    rate=Rate(0.02, kept=0.5),
    maps=maps,
    details={
        "crawl": "the crawl files: address, source, size and content of each",
        "bytes_in": "bytes of the crawl files",
    },
    reasons=REASONS,
    libraries=LIBRARIES,
)


def run(session: Session, task: Task) -> Manifest:
    """Execute the step. Raises GristmillError when a record was lost."""
    (shard_map,) = maps(task)
    budget = Budget(task.parameters.max_page_seconds, task.parameters.max_page_memory_bytes)
    work = [
        Work(
            shard_map.shard_name(bundle.identity()),
            Extract(bundle, task.parameters.max_page_bytes, task.parameters.min_chars, budget),
            bundle.size_bytes,
        )
        for bundle in bundles(task.crawl)
    ]
    details = {
        "crawl": [
            {
                "uri": storage.public_uri(s.uri),
                "source": s.source,
                "bytes": s.size_bytes,
                "content": s.content,
                "key": s.key.hex(),
            }
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

    def __init__(
        self, bundle: Bundle, max_page_bytes: int, min_chars: int, budget: Budget = PAGE_BUDGET
    ) -> None:
        self.bundle = bundle
        self.max_page_bytes = max_page_bytes
        self.min_chars = min_chars
        self.budget = budget

    def __call__(self, new: NewShard) -> Counts:
        """Every record of every piece. Raises GristmillError when one was lost."""
        rows_in, bytes_read, sizes, reasons = 0, 0, [], []
        with new.rows(KEPT) as kept, new.rows(REJECTED, rejected=True) as rejected:
            for piece in self.bundle.pieces:
                found, written = Found(), 0
                for rows in self.batches(piece, found):
                    written += rows.num_rows
                    reason = rows.column("reject_reason")
                    kept.write(rows.filter(reason.is_null()))
                    rejected.write(rows.filter(reason.is_valid()))
                    sizes.append(rows.column("n_bytes"))
                    reasons.append(reason)
                if written != found.records or (not written and piece.part is None):
                    raise GristmillError(
                        f"{storage.public_uri(piece.source.uri)}: {written} rows for"
                        f" {found.records} records; please report this"
                    )
                rows_in += found.records
                bytes_read += found.bytes_read
        counts = tally(sizes, reasons)
        return replace(counts, rows_in=rows_in, extra={**counts.extra, "bytes_read": bytes_read})

    def batches(self, piece: Piece, found: Found) -> Iterator[pa.RecordBatch]:
        """The rows of one piece in batches of bounded size; `found` is the reader's own count."""
        rows: list[dict[str, Any]] = []
        size = 0
        read = page_reader(self.budget)
        for record in records(piece.source.uri, self.max_page_bytes, piece.part, found):
            rows.append(document(record, piece.origin, self.min_chars, read))
            size += size_of(rows[-1])
            if len(rows) >= ROWS_PER_GROUP or size >= BYTES_PER_GROUP:
                yield from batches_of(rows)
                rows, size = [], 0
        if rows:
            yield from batches_of(rows)
