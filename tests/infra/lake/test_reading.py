"""What an artifact holds, read as people do: documents, tokens, rejected rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import storage
from infra.errors import GristmillError, UsageError
from infra.lake import Artifact, Lake
from tests.flows.command.crawled import CRAWL, SITE, crawled

PAGES = [SITE + name for pages in CRAWL.values() for name in pages]
EXTRACTED = [page for page in PAGES if not page.endswith("/empty")]
CLEAN = [page for page in EXTRACTED if not page.endswith("/short")]
UNIQUE = [page for page in CLEAN if not page.endswith("/copy")]
LAST = [page for page in UNIQUE if not page.endswith("/leaked")]


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake whose steps reject rows in each of their ways."""
    return crawled(tmp_path_factory.mktemp("mill"))


def rows(batches: Any) -> list[dict[str, Any]]:
    """All rows of the batches."""
    found: list[dict[str, Any]] = pa.Table.from_batches(batches).to_pylist()
    return found


@pytest.mark.parametrize(
    ("reference", "pages"),
    [
        ("documents/default", EXTRACTED),
        ("clean/default", CLEAN),
        ("dedup/default", UNIQUE),
        ("apart/default", LAST),
    ],
)
def test_documents_are_those_that_every_step_kept(
    mill: Lake, reference: str, pages: list[str]
) -> None:
    found = rows(mill.find(reference).documents(["url", "n_words"]))
    assert [row["url"] for row in found] == pages
    assert [list(row) for row in found] == [["url", "n_words"]] * len(pages)


def test_without_columns_all_are_given_under_their_declared_names(mill: Lake) -> None:
    dedup = mill.find("dedup/default")
    names = [column["name"] for column in dedup.require().schema]
    assert {"text", "signals", "dup"} <= set(names)
    assert all(batch.schema.names == names for batch in dedup.documents())


def test_a_wrong_column_names_the_nearest(mill: Lake) -> None:
    with pytest.raises(UsageError, match="no column 'n_wrds'; nearest: 'n_words'"):
        mill.find("clean/default").documents(["n_wrds"])


def test_an_artifact_without_documents_says_so(mill: Lake) -> None:
    with pytest.raises(UsageError, match=r"tokens/default/.*: holds no documents"):
        mill.find("tokens/default").documents()


def rejected(mill: Lake, reference: str, *columns: str) -> list[dict[str, Any]]:
    """The rejected rows of an artifact."""
    return rows(mill.rejected(mill.find(reference), columns))


def test_a_step_with_files_of_rejected_rows_gives_them_with_the_detail(mill: Lake) -> None:
    (row,) = rejected(mill, "documents/default", "url")
    assert row["reject_reason"] == "empty"
    assert row["url"] == SITE + "empty"
    assert "characters" in row["detail"]


def test_a_layers_rejected_rows_have_the_columns_of_the_layers_below(mill: Lake) -> None:
    (row,) = rejected(mill, "clean/default", "url", "text", "signals")
    assert (row["url"], row["text"]) == (SITE + "short", "Too short.")
    assert (row["reject_reason"], row["detail"]) == ("long_enough", None)
    assert row["signals"]["word_count"] == 2


def test_what_a_list_of_rejected_rows_does_not_store_is_looked_up(mill: Lake) -> None:
    (row,) = rejected(mill, "dedup/default", "url", "text", "dup")
    assert (row["reject_reason"], row["url"]) == ("near_duplicate", SITE + "copy")
    assert row["text"] == CRAWL["b-00000.jsonl"]["copy"]
    assert row["dup"]["reason"] == "near"
    (silent,) = rejected(mill, "tokens/default", "url")
    assert silent == {"reject_reason": "no_tokens", "detail": None, "url": SITE + "silent"}


def test_only_the_steps_own_rejected_rows_are_given(mill: Lake) -> None:
    (row,) = rejected(mill, "apart/default", "url", "overlap")
    assert row["url"] == SITE + "leaked"
    assert (row["reject_reason"], row["overlap"]) == ("in_a_test", 13)


def test_a_column_that_nobody_has_is_null(mill: Lake) -> None:
    assert [row["nowhere"] for row in rejected(mill, "dedup/default", "nowhere")] == [None]


def test_rows_are_chosen_by_their_reasons_before_anything_is_looked_up(
    mill: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(reasons: list[str]) -> list[bool]:
        return [reason == "exact_duplicate" for reason in reasons]

    opened: list[str] = []
    read = storage.open_read
    monkeypatch.setattr(storage, "open_read", lambda uri: opened.append(uri) or read(uri))
    assert list(mill.rejected(mill.find("dedup/default"), ["url", "text"], none)) == []
    assert not any("/shards/" in uri for uri in opened)


def test_documents_that_are_gone_are_named(tmp_path: Path) -> None:
    lake = crawled(tmp_path)
    storage.delete(lake.find("clean/default").uri)
    with pytest.raises(
        GristmillError, match=r"dedup/.*the documents that it was made from .* gone"
    ):
        lake.rejected(lake.find("dedup/default"))


@pytest.mark.parametrize("split", ["train", "val"])
def test_tokens_come_by_document_in_the_order_of_the_files(mill: Lake, split: str) -> None:
    tokens = mill.find("tokens/default")
    found = list(tokens.tokens(split))
    expected = stored(tokens, split)
    assert [doc_id for doc_id, _ in found] == [doc_id for doc_id, _ in expected]
    for (_, ids), (_, packed) in zip(found, expected, strict=True):
        assert ids.dtype == np.uint16
        assert ids.tobytes() == packed


def stored(tokens: Artifact, split: str) -> list[tuple[bytes, bytes]]:
    """The rows of a split's files."""

    files = tokens.require().details["splits"][split]["files"]
    tables = [pq.ParquetFile(tokens.file(file["path"])).read() for file in files]
    read = pa.concat_tables(tables).to_pylist()
    return [(row["doc_id"], row["tokens"]) for row in read]


def test_a_split_that_is_not_there_is_refused(mill: Lake) -> None:
    with pytest.raises(GristmillError, match="no 'test' split"):
        mill.find("tokens/default").tokens("test")
