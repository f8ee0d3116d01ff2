"""A folder of the lake read as data by other tools holds the kept rows, never rejected ones."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from infra.lake import Artifact, Lake
from jobs.spark.session import Session
from tests.flows.command.crawled import crawled

Ids = list[bytes]
Read = Callable[[str], Ids]


def by_pandas(folder: str) -> Ids:
    """With its Parquet reader."""
    return list(pd.read_parquet(folder)["doc_id"])


def by_pyarrow(folder: str) -> Ids:
    """As a dataset."""
    found: Ids = pyarrow.dataset.dataset(folder, format="parquet").to_table()["doc_id"].to_pylist()
    return found


def by_duckdb(folder: str) -> Ids:
    """By the glob that its SQL takes."""
    query = f"SELECT doc_id FROM '{folder}/*.parquet'"
    return [row[0] for row in duckdb.sql(query).fetchall()]


def by_datasets(folder: str) -> Ids:
    """As a dataset of Hugging Face's library, whose splits are all rows."""
    from datasets import load_dataset

    loaded = load_dataset(folder, split="all", cache_dir=f"{folder}/../../../cache")
    return [bytes(doc_id) for doc_id in loaded["doc_id"]]


READERS = {"pandas": by_pandas, "pyarrow": by_pyarrow, "duckdb": by_duckdb, "datasets": by_datasets}


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with kept and rejected rows in each of its ways."""
    return crawled(tmp_path_factory.mktemp("mill"))


@pytest.fixture(params=["documents/default", "dedup/default", "tokens/default"])
def artifact(request: pytest.FixtureRequest, mill: Lake) -> Artifact:
    """An artifact with rejected rows: of shards, and of files of its own."""
    return mill.find(request.param)


def folder_and_kept(artifact: Artifact) -> tuple[str, Ids]:
    """The folder that the rejected rows' folder is in, and the kept rows' doc_ids."""
    manifest = artifact.require()
    (folder,) = {e.path.partition("/_rejected/")[0] for e in manifest.files if e.is_rejected}
    paths = [e.path for e in manifest.data_files() if str(Path(e.path).parent) == folder]
    assert sum(entry.rows for entry in manifest.files if entry.is_rejected) > 0
    kept = [pq.ParquetFile(artifact.at_root(path)).read(["doc_id"]) for path in paths]
    return artifact.at_root(folder), sorted(
        i for table in kept for i in table["doc_id"].to_pylist()
    )


@pytest.mark.parametrize("tool", READERS)
def test_a_folder_read_as_data_holds_the_kept_rows(
    tool: str, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    folder, kept = folder_and_kept(artifact)
    assert sorted(READERS[tool](folder)) == kept


def test_spark_reads_the_kept_rows(artifact: Artifact, spark: Session) -> None:
    folder, kept = folder_and_kept(artifact)
    rows = spark.spark.read.parquet(folder).select("doc_id").collect()
    assert sorted(bytes(row["doc_id"]) for row in rows) == kept
