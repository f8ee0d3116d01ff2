"""The dry run: digests are known before anything runs, reasons name the field that differs, and nothing is written."""

from pathlib import Path

import pytest

from flows.chain.chain import chain, start_of
from flows.chain.parameters import parse
from flows.chain.plan import plan, why
from infra.errors import UsageError
from infra.lake import Lake
from infra.manifest import Counts
from infra.step import Task


@pytest.fixture
def page(tmp_path: Path) -> str:
    """A crawl of one page."""
    file = tmp_path / "page.html"
    file.write_text("<p>grain</p>")
    return str(file)


def tasks(page: str, root: Path, **values: object) -> list[Task]:
    """The whole chain."""
    return chain(parse({"input": [page], "root": str(root), **values}))


def finish(task: Task) -> None:
    """An empty finished artifact for a task."""
    task.lake.begin(task.identity, task.name).commit(Counts())


def test_a_whole_run_has_every_step_in_order_and_each_reads_what_the_one_before_writes(
    page: str, tmp_path: Path
) -> None:
    found = tasks(page, tmp_path / "lake")
    names = [task.step.name for task in found]
    assert names == [
        "extract",
        "filter",
        "dedup",
        "tokenizer",
        "tokenize",
        "train",
        "evaluate",
        "export",
        "report",
    ]
    digests = {task.step.name: task.identity.digest for task in found}
    by_step = {task.step.name: task for task in found}
    assert by_step["dedup"].inputs["documents"].digest == digests["filter"]
    assert by_step["tokenize"].inputs["documents"].digest == digests["dedup"]
    assert by_step["train"].inputs["tokens"].digest == digests["tokenize"]


def test_a_plan_writes_nothing(page: str, tmp_path: Path) -> None:
    lines = plan(tasks(page, tmp_path / "lake"))
    assert not any(line.hit for line in lines)
    assert not (tmp_path / "lake").exists()


def test_a_changed_threshold_rebuilds_dedup_and_what_follows_but_not_extract(
    page: str, tmp_path: Path
) -> None:
    for task in tasks(page, tmp_path / "lake")[:3]:
        finish(task)
    changed = tasks(page, tmp_path / "lake", dedup={"threshold": 0.7})
    lines = {line.step: line for line in plan(changed)}
    assert [lines[s].hit for s in ("extract", "filter", "dedup", "tokenizer")] == [
        True,
        True,
        False,
        False,
    ]
    assert "threshold: 0.8 -> 0.7" in lines["dedup"].reason


def test_the_crawl_counts_by_content_and_not_by_path(page: str, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "renamed.html"
    other.parent.mkdir()
    other.write_bytes(Path(page).read_bytes())
    digest = tasks(page, tmp_path / "a")[0].identity.digest
    assert tasks(str(other), tmp_path / "b")[0].identity.digest == digest
    other.write_text("<p>flour</p>")
    assert tasks(str(other), tmp_path / "b")[0].identity.digest != digest


def test_a_step_asked_for_raw_input_runs_only_what_leads_there(page: str, tmp_path: Path) -> None:
    parameters = parse({"input": [page], "root": str(tmp_path / "lake")})
    assert [t.step.name for t in chain(parameters, "dedup", quality=False)] == ["extract", "dedup"]
    assert [t.step.name for t in chain(parameters, "train", quality=False)] == [
        "extract",
        "tokenizer",
        "tokenize",
        "train",
    ]


def test_a_step_starts_from_an_artifact_with_the_tokenizer_that_made_it(
    page: str, tmp_path: Path
) -> None:
    made = tasks(page, tmp_path / "lake")
    for task in made[:5]:
        finish(task)
    lake = Lake.at(str(tmp_path / "lake"))
    parameters = parse({"root": str(tmp_path / "lake")})
    start = start_of(lake, [], "train", "default")
    (train,) = chain(parameters, "train", start, quality=False)
    assert train.identity.digest == made[5].identity.digest
    assert [
        t.step.name
        for t in chain(parameters, "tokenize", lake.find("dedup/default"), quality=False)
    ] == ["tokenizer", "tokenize"]


def test_a_step_without_anything_to_read_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train: no tokens named 'default'"):
        start_of(Lake.at(str(tmp_path / "lake")), [], "train", "default")


def test_the_reason_of_a_first_run_is_plain(page: str, tmp_path: Path) -> None:
    first = tasks(page, tmp_path / "lake")[0]
    assert why(first, None, None) == "not there yet"
