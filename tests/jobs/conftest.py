"""One Spark for all tests of this folder."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

os.environ.setdefault("SPARK_MASTER", "local[2]")
os.environ.setdefault("GRISTMILL_DRIVER_MEMORY", "2g")

from infra import storage
from infra.lake import Artifact, Lake
from infra.manifest import Counts, Identity, digest_of
from jobs.spark.session import Session

DOCUMENTS = pa.schema(
    [
        ("doc_id", pa.binary()),
        ("url", pa.string()),
        ("source", pa.string()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("lang", pa.string()),
        ("text", pa.string()),
        ("n_chars", pa.int64()),
        ("reject_reason", pa.string()),
    ]
)


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The test session's Spark session."""
    running = Session.start(str(tmp_path_factory.mktemp("root")))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def documents_artifact() -> Callable[[Lake, Sequence[Mapping[str, Any]]], Artifact]:
    """Makes a finished documents artifact of rows with a `text` and any other columns of `DOCUMENTS`; the rest is filled in."""

    def make(lake: Lake, rows: Sequence[Mapping[str, Any]]) -> Artifact:
        complete = [filled(number, row) for number, row in enumerate(rows)]
        content = digest_of([[row["url"], row["text"], row["warc_offset"]] for row in complete])
        writer = lake.begin(Identity("documents", "extract", 1, {"rows": content}, {}))
        with storage.open_write(writer.file("part-0.parquet")) as stream:
            pq.write_table(pa.Table.from_pylist(complete, DOCUMENTS), stream)
        writer.commit(Counts(len(complete), len(complete)))
        return writer.artifact

    return make


def filled(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """A documents row: what is missing follows from the number and the text."""
    url = row.get("url", f"https://example.org/{number}")
    text = row["text"]
    return {
        "doc_id": hashlib.blake2b(f"{url} {text}".encode(), digest_size=16).digest(),
        "url": url,
        "source": "web",
        "warc_file": "web-00000.warc.gz",
        "warc_offset": number,
        "n_chars": len(text),
        "reject_reason": None,
        **row,
    }
