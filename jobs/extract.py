"""Raw crawl files to documents: read, decode, main content, language. One crawl file a Spark task.

In: crawl files in any format that `jobs.crawl` reads. Out: one row for every record of every file, pages as documents, all others
rejected with one of `jobs.crawl.REASONS`:
    doc_id binary(16), url, domain, source, warc_file (base name), warc_offset long, fetched_at timestamp, mime, charset, lang,
    lang_score float, title, extractor (`resiliparse`, or `verbatim` for text), text, n_chars long, n_words long, reject_reason
Rejected rows have no text.

A worker writes the rows of one crawl file to one Parquet shard, which appears whole or not at all; after a crash finished shards are
used again, so it costs the files in progress. Rows in are counted from the records' indexes in their files, not from rows.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import SparkContext
from pyspark.sql import functions as F

from infra import storage
from infra.errors import GristmillError
from infra.manifest import Manifest
from infra.parameters import option, parameters
from infra.process import emit
from infra.step import Source, Step, Task
from jobs.crawl import MAX_PAGE_BYTES, Record, base_name, public_uri, records
from jobs.crawl.archives import HTML_TYPES
from jobs.crawl.record import EMPTY
from jobs.page import html
from jobs.spark.session import Session
from jobs.text.signals import words

ROWS_PER_GROUP = 1000
BYTES_PER_GROUP = 64 << 20
SHARD_NUMBER = re.compile(r"[-_.](?:part[-_]?)?\d{2,}$", re.IGNORECASE)
EXTENSIONS = re.compile(
    r"(\.(warc|arc|wet|wat|html?|xhtml|txt|text|md|jsonl|ndjson|json|parquet|gz|zst|zstd|lz4|bz2|xz))+$",
    re.IGNORECASE,
)
PROGRESS_SECONDS = 2.0

SCHEMA = pa.schema(
    [
        ("doc_id", pa.binary()),
        ("url", pa.string()),
        ("domain", pa.string()),
        ("source", pa.string()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("fetched_at", pa.timestamp("us", tz="UTC")),
        ("mime", pa.string()),
        ("charset", pa.string()),
        ("lang", pa.string()),
        ("lang_score", pa.float32()),
        ("title", pa.string()),
        ("extractor", pa.string()),
        ("text", pa.string()),
        ("n_chars", pa.int64()),
        ("n_words", pa.int64()),
        ("reject_reason", pa.string()),
        ("record", pa.int64()),
    ]
)


@parameters
class ExtractParameters:
    """Which pages become documents."""

    max_page_bytes: int = option(
        MAX_PAGE_BYTES, "larger pages are rejected as `too_large`", unit="bytes", gt=0
    )
    min_chars: int = option(
        1, "pages with less main text are rejected as `empty`", unit="characters", ge=1
    )


STEP = Step(
    name="extract",
    kind="documents",
    version=1,
    parameters=ExtractParameters,
    inputs=("crawl",),
    module="jobs.extract",
)


def run(session: Session, task: Task) -> Manifest:
    """Execute the step. Raises GristmillError when a record was lost."""
    parameters = task.parameters
    writer = task.lake.begin(task.identity, task.name)
    shards = [
        writer.work("files", f"{index:05d}-{source.content[:12]}.parquet")
        for index, source in enumerate(task.crawl)
    ]
    work = sorted(zip(task.crawl, shards), key=lambda pair: -pair[0].size_bytes)

    def extract_files(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for place in batch.column("id").to_pylist():
                source, shard = work[place]
                rows = write_shard(source, shard, parameters)
                yield pa.RecordBatch.from_pydict({"shard": [shard], "rows": [rows]})

    with _progress(session.spark.sparkContext, len(work)):
        places = session.spark.range(0, len(work), 1, len(work))
        written = {
            row["shard"]: row["rows"]
            for row in places.mapInArrow(extract_files, "shard string, rows long").collect()
        }
    missing = set(shards) - set(written)
    if missing:
        raise GristmillError(
            f"extract: {len(missing)} of {len(shards)} crawl files left no rows; run the step again"
        )
    rows = session.parquet(*shards)
    details = {
        "crawl": [
            {"uri": public_uri(s.uri), "bytes": s.size_bytes, "content": s.content}
            for s in task.crawl
        ],
        "bytes_in": sum(s.size_bytes for s in task.crawl),
        "bytes_text": rows.agg(F.coalesce(F.sum(F.octet_length("text")), F.lit(0))).collect()[0][0],
    }
    return session.commit_rows(
        task, writer, rows.drop("record"), sum(written.values()), details=details
    )


def write_shard(source: Source, shard: str, parameters: ExtractParameters) -> int:
    """Write one crawl file's rows as one Parquet file, unless it is there; the number of records in the file. Runs in a worker."""
    if not storage.exists(shard):
        with (
            storage.open_write(shard) as stream,
            pq.ParquetWriter(stream, SCHEMA, compression="zstd") as writer,
        ):
            for table in tables(source.uri, parameters):
                writer.write_table(table, row_group_size=ROWS_PER_GROUP)
    with storage.open_read(shard) as stream:
        places = pq.read_table(stream, columns=["record"])["record"].to_pylist()
    if sorted(places) != list(range(len(places))) or not places:
        raise GristmillError(
            f"{public_uri(source.uri)}: {len(places)} rows for {max(places, default=-1) + 1} records; please report this"
        )
    return int(max(places)) + 1


def tables(uri: str, parameters: ExtractParameters) -> Iterator[pa.Table]:
    """The rows of one crawl file in tables of bounded size."""
    rows: list[dict[str, Any]] = []
    size = 0
    for record in records(uri, parameters.max_page_bytes):
        rows.append(document(record, base_name(uri), parameters.min_chars))
        size += len(rows[-1]["text"] or "")
        if len(rows) >= ROWS_PER_GROUP or size >= BYTES_PER_GROUP:
            yield pa.Table.from_pylist(rows, SCHEMA)
            rows, size = [], 0
    if rows:
        yield pa.Table.from_pylist(rows, SCHEMA)


def document(record: Record, file: str, min_chars: int) -> dict[str, Any]:
    """The row of one record of the crawl file with base name `file`."""
    reason = record.reason
    title = text = charset = extractor = None
    if reason is None:
        if record.text is not None:
            text, charset, extractor = record.text, "utf-8", "verbatim"
        else:
            text, charset = html.decode(record.payload, record.charset)
            extractor = "verbatim"
            if record.mime in HTML_TYPES:
                title, text = html.main_content(text)
                extractor = "resiliparse"
        if len(text.strip()) < min_chars:
            reason = EMPTY
    kept = text if reason is None else None
    lang, lang_score = html.language(kept) if kept is not None else (None, None)
    content = record.payload if record.text is None else record.text.encode("utf-8", "replace")
    return {
        "doc_id": html.doc_id(record.url or f"{file}#{record.index}", content),
        "url": record.url,
        "domain": domain_of(record.url),
        "source": source_of(file),
        "warc_file": file,
        "warc_offset": record.offset,
        "fetched_at": record.date,
        "mime": record.mime,
        "charset": charset or record.charset or None,
        "lang": lang,
        "lang_score": lang_score,
        "title": title,
        "extractor": extractor,
        "text": kept,
        "n_chars": len(kept or ""),
        "n_words": len(words(kept)) if kept else 0,
        "reject_reason": reason,
        "record": record.index,
    }


def source_of(file: str) -> str:
    """`web` of `web-00000.warc.gz`: the base name without extensions and shard number."""
    stem = EXTENSIONS.sub("", file)
    return SHARD_NUMBER.sub("", stem) or stem or file


def domain_of(url: str) -> str:
    """The URL's host in lower case, without `www.` and port; empty where it has none."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.")


@contextmanager
def _progress(context: SparkContext, total: int) -> Iterator[None]:
    """Emit how many crawl files are done, while the block runs."""
    done = threading.Event()

    def watch() -> None:
        told = -1
        tracker = context.statusTracker()
        while not done.wait(PROGRESS_SECONDS):
            stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
            finished = sum(
                stage.numCompletedTasks for stage in stages if stage and stage.numTasks == total
            )
            if finished > told:
                emit("progress", step=STEP.name, done=finished, total=total)
                told = finished

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    emit("progress", step=STEP.name, done=total, total=total)
