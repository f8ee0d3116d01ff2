"""One Spark for all tests of this folder, and documents to give to a step."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest

from infra.lake import Artifact, Lake, shards
from infra.lake.shards import NewShard, Shard
from infra.manifest import Counts, Identity, digest_of
from jobs.page.document import SCHEMA
from jobs.spark.documents import layer_files
from jobs.spark.maps import tally
from jobs.spark.session import Session

os.environ.setdefault("SPARK_MASTER", "local[2]")
os.environ.setdefault("GRISTMILL_DRIVER_MEMORY", "2g")
# Half the CPU of a JVM that lives for a minute goes into compiling what it runs.
SHORT_LIVED = "spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
os.environ.setdefault("GRISTMILL_SPARK_CONF", SHORT_LIVED)

COLUMNS = (
    *("row_id", "doc_id", "url", "source", "warc_file", "warc_offset", "lang"),
    *("text", "n_bytes", "n_chars"),
)
DOCUMENTS = pa.schema([SCHEMA.field(name) for name in COLUMNS])


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The test session's one Spark."""
    running = Session.start(str(tmp_path_factory.mktemp("root")))
    yield running
    running.stop()


@pytest.fixture
def session(spark: Session, lake: Lake) -> Iterator[Session]:
    """Spark, bound to the test's lake."""
    yield Session(spark.spark, lake.root)
    spark.spark.catalog.clearCache()


@pytest.fixture(scope="session")
def documents_artifact() -> Callable[..., Artifact]:
    """Makes a finished documents artifact of rows with a `text` and any other columns of
    `DOCUMENTS`; the rest is filled in. `shards`: over how many shards the rows are spread."""

    def make(lake: Lake, rows: Sequence[Mapping[str, Any]], shards: int = 1) -> Artifact:
        complete = [filled(number, row) for number, row in enumerate(rows)]
        ends = [len(complete) * number // shards for number in range(shards + 1)]
        parts = [complete[ends[i] : ends[i + 1]] for i in range(shards)]
        made = [shard_of(lake, part) for part in parts]
        names = [shard.name for shard in made]
        with lake.begin(Identity("documents", "extract", 1, {"shards": names}, {})) as writer:
            counts = sum((shard.counts for shard in made), Counts())
            writer.commit(counts, files=layer_files(made, 0))
        return writer.artifact

    return make


def shard_of(lake: Lake, rows: Sequence[Mapping[str, Any]]) -> Shard:
    """A finished shard of these rows."""

    def build(new: NewShard) -> Counts:
        batch = pa.RecordBatch.from_pylist(list(rows), DOCUMENTS)
        with new.rows(DOCUMENTS) as file:
            file.write(batch)
        return tally([batch.column("n_bytes")], [])

    content = digest_of([[row["doc_id"].hex(), row["warc_offset"], row["lang"]] for row in rows])
    return shards.make(lake.root, f"extract/{content[:32]}", build)[0]


def filled(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """A documents row: what is missing follows from the number and the text."""
    url = row.get("url", f"https://example.org/{number}")
    text = row["text"]
    return {
        "row_id": number.to_bytes(16, "big"),
        "doc_id": hashlib.blake2b(f"{url} {text}".encode(), digest_size=16).digest(),
        "url": url,
        "source": "web",
        "warc_file": "web-00000.warc.gz",
        "warc_offset": number,
        "lang": "en",
        "n_bytes": len(text.encode()),
        "n_chars": len(text),
        **row,
    }
