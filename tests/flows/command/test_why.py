"""A document's whole way is told: its crawl file, each step's verdict, its tokens, who saw them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.command import console
from flows.command.seen import located
from flows.command.ways import rules_of
from flows.command.why import why
from infra import storage
from infra.errors import UsageError
from infra.lake import Lake
from model.data.order import Order
from tests.flows.command.crawled import BATCH, CONTEXT, FINAL, RULES, SEED, SITE, STEPS, crawled

KEPT = ("flour", "news", "twin")


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A finished lake, for reading."""
    return crawled(tmp_path_factory.mktemp("mill"))


def ways(lake: Lake, page: str, reference: str | None = None) -> list[dict[str, Any]]:
    """What is found of a page of the crawl."""
    return why(lake, SITE + page, reference)


def way(lake: Lake, page: str, reference: str | None = None) -> dict[str, Any]:
    """What is found of a page that was captured once."""
    (found,) = ways(lake, page, reference)
    return found


def said(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Step and verdict."""
    return [(verdict["step"], verdict["verdict"]) for verdict in found["verdicts"]]


def test_a_kept_document_was_kept_by_every_step(mill: Lake) -> None:
    found = way(mill, "flour")
    steps = ("extract", "filter", "dedup", "decontaminate", "tokenize")
    assert said(found) == [(step, "kept") for step in steps]
    assert found["kept"]
    assert found["verdicts"][2]["cluster_size"] == 2


@pytest.mark.parametrize("page", ["flour", "short", "empty", "copy", "leaked"])
def test_the_crawl_file_holds_the_page_at_the_offset(mill: Lake, page: str) -> None:
    crawl = way(mill, page)["crawl"]
    assert crawl["file"] == storage.base_name(crawl["uri"])
    line = storage.read_bytes(crawl["uri"])[crawl["offset"] :].splitlines()[0]
    assert json.loads(line)["url"] == SITE + page


@pytest.mark.parametrize("page", ["flour", "empty", "leaked"])
def test_the_stored_row_is_the_documents(mill: Lake, page: str) -> None:
    found = way(mill, page)
    stored = found["stored"]
    rows = pq.read_table(storage.join(mill.root, stored["file"]), columns=["doc_id"])
    assert rows["doc_id"][stored["row"]].as_py().hex() == found["doc_id"]
    assert f"shards/{stored['shard']}-" in stored["file"].replace("/_rejected/__rejected", "")


def test_the_filter_tells_the_rule_and_the_values_in_it_but_no_text(mill: Lake) -> None:
    found = way(mill, "short")
    assert said(found) == [("extract", "kept"), ("filter", "rejected")]
    verdict = found["verdicts"][-1]
    assert (verdict["reason"], verdict["rule"]) == ("long_enough", RULES["long_enough"])
    assert verdict["values"] == {"n_words": 2, "word_count": 2}


def test_a_record_that_became_no_document_says_what_was_wrong(mill: Lake) -> None:
    found = way(mill, "empty")
    assert said(found) == [("extract", "rejected")]
    assert found["verdicts"][0]["reason"] == "empty"
    assert found["verdicts"][0]["detail"] == "0 characters of main text"
    assert not found["kept"]
    assert (found["tokens"], found["checkpoints"]) == ([], [])


def test_a_duplicate_names_what_it_duplicates(mill: Lake) -> None:
    verdict = way(mill, "copy")["verdicts"][-1]
    flour = way(mill, "flour")
    assert (verdict["step"], verdict["reason"]) == ("dedup", "near_duplicate")
    assert verdict["duplicate_of"] == {"doc_id": flour["doc_id"], "url": flour["url"]}
    assert (verdict["duplicate"], verdict["similarity"]) == ("near", 0.9)


def test_a_step_that_nobody_here_knows_tells_its_reason_and_its_own_columns(mill: Lake) -> None:
    found = way(mill, "leaked")
    assert said(found)[-2:] == [("dedup", "kept"), ("decontaminate", "rejected")]
    verdict = found["verdicts"][-1]
    assert (verdict["reason"], verdict["values"]) == ("in_a_test", {"overlap": 13})


def test_a_document_without_tokens_is_rejected_by_tokenize(mill: Lake) -> None:
    verdict = way(mill, "silent")["verdicts"][-1]
    assert (verdict["step"], verdict["reason"]) == ("tokenize", "no_tokens")


def test_rows_of_one_document_are_told_apart(mill: Lake) -> None:
    twins = ways(mill, "twin")
    assert len({each["doc_id"] for each in twins}) == 1
    assert len({each["row_id"] for each in twins}) == len(twins) == 2
    assert len({each["crawl"]["uri"] for each in twins}) == 2


def test_a_page_captured_twice_is_two_documents(mill: Lake) -> None:
    monday, tuesday = ways(mill, "news")
    assert [each["crawl"]["file"] for each in (monday, tuesday)] == [
        "a-00000.jsonl",
        "b-00000.jsonl",
    ]
    assert monday["doc_id"] != tuesday["doc_id"]
    assert why(mill, monday["doc_id"].upper(), None) == [monday]


def test_two_rows_of_one_doc_id_have_their_own_tokens(mill: Lake) -> None:
    first, second = ways(mill, "twin")
    assert first["doc_id"] == second["doc_id"]
    trains = [[r for r in each["tokens"] if r["split"] == "train"] for each in (first, second)]
    assert [len(rows) for rows in trains] == [1, 1]
    assert trains[0] != trains[1]


def test_tokens_are_where_they_are_said_to_be(mill: Lake) -> None:
    told = [(each, row) for page in KEPT for each in ways(mill, page) for row in each["tokens"]]
    assert {row["split"] for _, row in told} == {"train", "val"}
    for found, row in told:
        file = pq.ParquetFile(storage.join(mill.root, row["file"]))
        group = file.read_row_group(row["row_group"]).to_pylist()
        here = group[row["row"]]
        assert here["doc_id"].hex() == found["doc_id"]
        assert (here["split"], here["n_tokens"]) == (row["split"], row["n_tokens"])
        assert row["first_token"] == sum(r["n_tokens"] for r in group[: row["row"]])


def test_rows_are_located_by_their_sizes() -> None:
    sizes = np.array([3, 4, 5, 6, 7])
    rows = [located(sizes, [7, 5, 13], place, 10) for place in range(5)]
    assert rows[:3] == [(0, 0, 0, 3, 10), (0, 1, 3, 4, 10), (1, 0, 0, 5, 11)]
    assert rows[3:] == [(2, 0, 0, 6, 12), (2, 1, 6, 7, 12)]


def test_draws_are_those_of_the_positions_that_the_training_consumed(mill: Lake) -> None:
    (tokens,) = mill.artifacts("tokens")
    files = tokens.require().details["splits"]["train"]["files"]
    order = Order([size for file in files for size in file["row_groups"]], CONTEXT, SEED)
    counts = set()
    for found in (each for page in KEPT for each in ways(mill, page)):
        ((row,), (seen,)) = (
            [r for r in found["tokens"] if r["split"] == "train"],
            found["checkpoints"],
        )
        first, end = row["first_token"], row["first_token"] + row["n_tokens"]
        for name, steps in (("drawn", STEPS), ("drawn_by_final_step", FINAL)):
            _, _, groups, sequences = order.locate(np.arange(steps * BATCH))
            drawn = [s for g, s in zip(groups, sequences, strict=True) if g == row["group"]]
            holding = [s for s in drawn if s * CONTEXT < end and (s + 1) * CONTEXT >= first]
            assert seen[name] == max((holding.count(s) for s in holding), default=0)
            counts.add(seen[name])
    assert len(counts) > 1


def test_the_way_ends_where_the_lineage_ends(mill: Lake) -> None:
    found = way(mill, "leaked", "dedup/default")
    assert [step for step, _ in said(found)] == ["extract", "filter", "dedup"]
    assert found["kept"]
    assert (found["tokens"], found["checkpoints"]) == ([], [])
    (seen,) = way(mill, "flour", "tokens/default")["checkpoints"]
    assert seen["artifact"].startswith("checkpoints/default/")


def test_a_document_that_is_nowhere_is_one_line_with_a_remedy(mill: Lake) -> None:
    for document in (f"{SITE}nowhere", "0" * 32):
        with pytest.raises(
            UsageError, match=r"no such .* documents/default/.* give the exact URL"
        ) as e:
            why(mill, document, None)
        assert document in str(e.value)
        assert "\n" not in str(e.value)


def test_an_empty_lake_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gristmill extract --input"):
        why(Lake.at(str(tmp_path / "lake")), SITE, None)


def test_the_languages_are_a_rule() -> None:
    found = rules_of({"rules": {"a": "x > 1"}, "languages": ["de", "en"]})
    assert found == {"a": "x > 1", "language": "lang IN ('de', 'en')"}
    assert rules_of({"threshold": 0.8}) == {}


def test_people_read_a_line_a_step(mill: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    console.ways([*ways(mill, "flour"), *ways(mill, "short"), *ways(mill, "copy")])
    flour, short, copy = capsys.readouterr().out.strip().split("\n\n")
    lines = [" ".join(line.split()) for text in (flour, short, copy) for line in text.splitlines()]
    assert lines[0] == f"{SITE}flour"
    assert "dedup kept, the best of a cluster of 2" in lines
    assert "filter rejected: long_enough" in lines
    assert f"must hold: {RULES['long_enough']}" in lines
    assert "word_count = 2" in lines
    assert any(line.endswith("near, similarity 0.900") for line in lines)
    assert any(line.startswith("training checkpoints/default/") for line in lines)


def test_the_ways_are_json(mill: Lake) -> None:
    found = [each for page in ("flour", "short", "empty", "copy") for each in ways(mill, page)]
    assert json.loads(json.dumps(found)) == found
