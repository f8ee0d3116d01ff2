"""Rejected rows on the card: as many of each reason as asked for, always the same ones."""

from flows.card.rejected import EXCERPT_CHARACTERS, excerpt, rejected_samples
from infra.lake import Artifact, Lake
from infra.manifest import Counts
from tests.flows.card.lakes import extracted, make, parts, rows


def test_each_reason_shows_as_many_rows_as_asked_for_in_the_order_of_the_files(lake: Lake) -> None:
    documents = extracted(lake)
    chosen = rejected_samples(documents, documents.require(), 3)
    assert {reason: len(found) for reason, found in chosen.items()} == {"empty": 3, "not_text": 1}
    assert [sample["url"][-1] for sample in chosen["empty"]] == ["0", "1", "2"]


def test_rows_of_a_reason_are_found_across_row_groups_and_files(lake: Lake) -> None:
    files = parts(1, rows(5, "empty")) | {"_rejected/part-1.parquet": rows(2, "empty", "second/")}
    crawl = {"crawl": Artifact(lake.root, "crawl", "default", "d" * 64)}
    documents = make(lake, "documents/extract", crawl, Counts(8, 1, {"empty": 7}), files, {})
    chosen = rejected_samples(documents, documents.require(), 6)["empty"]
    assert [sample["url"] for sample in chosen] == [
        *(f"https://a.example/empty/{i}" for i in range(5)),
        "second/empty/0",
    ]


def test_no_row_is_shown_where_none_is_asked_for(lake: Lake) -> None:
    documents = extracted(lake)
    assert rejected_samples(documents, documents.require(), 0) == {}


def test_an_excerpt_is_one_line_of_the_texts_beginning() -> None:
    assert excerpt(" a\n\n b\tc ") == "a b c"
    assert excerpt("word " * 1000) == ("word " * 1000)[:EXCERPT_CHARACTERS]
