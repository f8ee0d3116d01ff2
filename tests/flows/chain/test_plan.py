"""The dry run: digests are known before anything runs, reasons name the field that differs, and
nothing is written."""

from pathlib import Path

import pytest

from flows.chain.bound import bound
from flows.chain.chain import chain
from flows.chain.parameters import parse
from flows.chain.plan import plan, why
from infra import manifest, storage
from infra.errors import DamagedError, UsageError
from infra.lake import Lake
from infra.manifest import MANIFEST_NAME, Counts, Identity
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


def test_another_version_of_a_library_rebuilds_what_it_shapes_and_the_plan_says_so(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task in tasks(page, tmp_path / "lake")[:2]:
        finish(task)
    installed = manifest._version_of("resiliparse")
    given = manifest._version_of
    monkeypatch.setattr(
        manifest, "_version_of", lambda name: "99.1" if name == "resiliparse" else given(name)
    )
    lines = {line.step: line for line in plan(tasks(page, tmp_path / "lake"))}
    assert not lines["extract"].hit and not lines["filter"].hit
    assert lines["extract"].reason == f"resiliparse {installed} -> 99.1"
    assert lines["filter"].reason == "other documents"


def test_an_old_artifact_whose_files_are_gone_does_not_stop_the_plan_of_another(
    page: str, tmp_path: Path
) -> None:
    old = tasks(page, tmp_path / "lake", dedup={"threshold": 0.7})[2]
    with old.lake.begin(old.identity, old.name) as writer:
        storage.write_bytes(writer.file("part-0"), b"rows")
        writer.commit(Counts())
    storage.delete(old.artifact.file("part-0"))
    line = plan(tasks(page, tmp_path / "lake"))[2]
    assert (line.hit, "threshold: 0.7 -> 0.8" in line.reason) == (False, True)


def test_the_crawl_counts_by_source_name_and_content_and_not_by_its_place(
    page: str, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / tmp_path.name / "page.html"
    other.parent.mkdir(parents=True)
    other.write_bytes(Path(page).read_bytes())
    digest = tasks(page, tmp_path / "a")[0].identity.digest
    assert tasks(str(other), tmp_path / "b")[0].identity.digest == digest
    declared = {tasks(f"web={path}", tmp_path / "b")[0].identity.digest for path in (page, other)}
    assert len(declared | {digest}) == 2
    renamed = other.rename(other.with_name("renamed.html"))
    assert tasks(str(renamed), tmp_path / "b")[0].identity.digest != digest
    renamed.write_text("<p>flour</p>")
    renamed.rename(other)
    assert tasks(str(other), tmp_path / "b")[0].identity.digest != digest


def names(tasks: list[Task]) -> list[str]:
    """The steps of tasks."""
    return [task.step.name for task in tasks]


def test_a_step_asked_for_raw_input_leaves_out_what_is_optional(page: str, tmp_path: Path) -> None:
    parameters = parse({"input": [page], "root": str(tmp_path / "lake")})
    assert names(chain(parameters, "dedup", whole=False)) == ["extract", "dedup"]
    way = ["extract", "tokenizer", "tokenize", "train"]
    assert names(chain(parameters, "train", whole=False)) == way


def test_a_run_can_leave_out_an_optional_step(page: str, tmp_path: Path) -> None:
    found = {t.step.name: t for t in tasks(page, tmp_path / "lake", without=["filter"])}
    assert "filter" not in found
    assert found["dedup"].inputs["documents"].digest == found["extract"].identity.digest
    with pytest.raises(UsageError, match="'train' cannot be left out"):
        tasks(page, tmp_path / "lake", without=["train"])


def test_a_step_starts_from_an_artifact_with_the_tokenizer_that_made_it(
    page: str, tmp_path: Path
) -> None:
    made = tasks(page, tmp_path / "lake")
    for task in made[:5]:
        finish(task)
    parameters = parse({"root": str(tmp_path / "lake")})
    (train,) = chain(parameters, "train", whole=False)
    assert train.identity.digest == made[5].identity.digest
    named = parse({"root": str(tmp_path / "lake"), "input": ["dedup/default"]})
    assert names(chain(named, "tokenize", whole=False)) == ["tokenizer", "tokenize"]


def test_a_step_without_input_reads_what_a_step_before_it_has_made(
    page: str, tmp_path: Path
) -> None:
    made = tasks(page, tmp_path / "lake")
    for task in made[:3]:
        finish(task)
    parameters = parse({"root": str(tmp_path / "lake")})
    found = {g: chain(parameters, g, whole=False)[-1] for g in ("filter", "dedup", "tokenizer")}
    read = [task.inputs["documents"].digest for task in found.values()]
    assert read == [task.identity.digest for task in made[:3]]


def test_a_run_can_start_from_crawl_files_and_a_tokenizer_that_is_there(
    page: str, tmp_path: Path
) -> None:
    made = tasks(page, tmp_path / "lake")
    for task in made[:4]:
        finish(task)
    grown = tmp_path / "second.html"
    grown.write_text("<p>more grain</p>")
    values = {"root": str(tmp_path / "lake"), "input": [page, str(grown), "tokenizer/default"]}
    found = {task.step.name: task for task in chain(parse(values))}
    assert "tokenizer" not in found
    assert found["tokenize"].inputs["tokenizer"].digest == made[3].identity.digest
    assert len(found["extract"].crawl) == 2


def test_crawl_files_that_nothing_would_read_are_refused(page: str, tmp_path: Path) -> None:
    for task in tasks(page, tmp_path / "lake")[:5]:
        finish(task)
    values = {
        "root": str(tmp_path / "lake"),
        "input": [page, "tokens/default", "tokenizer/default"],
    }
    with pytest.raises(UsageError, match="train: reads no crawl files where tokenizer and tokens"):
        chain(parse(values), "train", whole=False)


def test_a_limit_that_only_decides_failure_makes_nothing_again(page: str, tmp_path: Path) -> None:
    for task in tasks(page, tmp_path / "lake")[:3]:
        finish(task)
    raised = {"max_source_loss": 1.0, "min_source_documents": 10_000}
    lines = plan(tasks(page, tmp_path / "lake", dedup=raised))
    assert [line.hit for line in lines[:4]] == [True, True, True, False]


def test_a_crawl_made_by_a_step_has_the_steps_name_as_source_unless_one_is_declared(
    tmp_path: Path,
) -> None:
    lake = Lake.at(str(tmp_path / "lake"))
    with lake.begin(Identity("crawl", "sample", 3, {}, {}), "mine") as writer:
        storage.write_bytes(writer.file("x-00000.warc"), b"WARC/1.0")
        writer.commit(Counts())
    found = {}
    for reference in ("crawl/mine", "docs=crawl/mine"):
        (found[reference],) = chain(parse({"input": [reference], "root": lake.root}))[0].crawl
    assert [source.source for source in found.values()] == ["sample", "docs"]


def test_only_crawl_files_have_a_source_to_declare(page: str, tmp_path: Path) -> None:
    finish(tasks(page, tmp_path / "lake")[0])
    values = {"root": str(tmp_path / "lake"), "input": ["web=documents/default"]}
    with pytest.raises(UsageError, match="web=documents/default: only crawl files have a source"):
        chain(parse(values))


def test_inside_bound_the_crawl_is_what_it_was(page: str, tmp_path: Path) -> None:
    folder = tmp_path / "crawl"
    folder.mkdir()
    (folder / "a.html").write_text("<p>grain</p>")
    root = str(tmp_path / "lake")
    parameters = parse({"input": [str(folder)], "root": root})
    with bound(root, [str(folder)]):
        before = chain(parameters)
        (folder / "b.html").write_text("<p>arrives during the run</p>")
        assert [t.identity.digest for t in chain(parameters)] == [t.identity.digest for t in before]
    assert chain(parameters)[0].identity.digest != before[0].identity.digest


def test_a_step_without_anything_to_read_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train: no tokens named 'default'"):
        chain(parse({"root": str(tmp_path / "lake")}), "train", whole=False)


def test_the_reason_of_a_first_run_is_plain(page: str, tmp_path: Path) -> None:
    first = tasks(page, tmp_path / "lake")[0]
    assert why(first, None, None) == "not there yet"


def begin(task: Task) -> None:
    """What a step leaves that died while it wrote."""
    with task.lake.begin(task.identity, task.name) as writer:
        storage.write_bytes(writer.file("part-0"), b"half")


def test_a_step_alone_refuses_what_a_later_step_has_begun_and_not_finished(
    page: str, tmp_path: Path
) -> None:
    made = tasks(page, tmp_path / "lake")
    for task in made[:2]:
        finish(task)
    begin(made[2])
    parameters = parse({"root": str(tmp_path / "lake")})
    with pytest.raises(UsageError) as caught:
        chain(parameters, "tokenizer", whole=False)
    said, dedup, clean = str(caught.value), made[2].artifact.path, made[1].artifact.path
    assert said.startswith(f"tokenizer: `dedup` began {dedup} and did not finish it")
    for way in ("gristmill dedup", f"gristmill rm {dedup}", f"--input {clean}"):
        assert way in said
    assert "\n" not in said
    given = parse({"root": str(tmp_path / "lake"), "input": [clean]})
    assert names(chain(given, "tokenizer", whole=False)) == ["tokenizer"]
    made[2].lake.remove(made[2].artifact)
    assert names(chain(parameters, "tokenizer", whole=False)) == ["tokenizer"]


def test_a_step_alone_waits_for_no_step_that_is_writing(page: str, tmp_path: Path) -> None:
    made = tasks(page, tmp_path / "lake")
    finish(made[0])
    parameters = parse({"root": str(tmp_path / "lake")})
    with (
        made[1].lake.begin(made[1].identity, made[1].name),
        pytest.raises(UsageError, match=r"`filter` is writing clean/default/\w+ just now"),
    ):
        chain(parameters, "dedup", whole=False)


def test_an_attempt_older_than_what_was_finished_since_is_no_hindrance(
    page: str, tmp_path: Path
) -> None:
    made = tasks(page, tmp_path / "lake")
    begin(tasks(page, tmp_path / "lake", dedup={"threshold": 0.7})[2])
    for task in made[:3]:
        finish(task)
    parameters = parse({"root": str(tmp_path / "lake")})
    (tokenizer,) = chain(parameters, "tokenizer", whole=False)
    assert tokenizer.inputs["documents"].digest == made[2].identity.digest


def test_a_damaged_artifact_is_a_rebuild_and_the_plan_says_why(page: str, tmp_path: Path) -> None:
    made = tasks(page, tmp_path / "lake")
    for task in made[:2]:
        finish(task)
    with made[2].lake.begin(made[2].identity, made[2].name) as writer:
        storage.write_bytes(writer.file("part-0"), b"rows")
        writer.commit(Counts())
    storage.write_bytes(made[1].artifact.file(MANIFEST_NAME), b"{")
    storage.write_bytes(made[2].artifact.file("part-0"), b"row")
    lines = plan(tasks(page, tmp_path / "lake"))[:3]
    assert [line.hit for line in lines] == [True, False, False]
    assert lines[1].reason.startswith(f"damaged: {made[1].artifact.path}/{MANIFEST_NAME}: damaged")
    assert lines[2].reason == (f"damaged: {made[2].artifact.path}/part-0: 3 bytes, 4 were written")


def test_a_step_alone_does_not_take_older_documents_for_damaged_ones(
    page: str, tmp_path: Path
) -> None:
    made = tasks(page, tmp_path / "lake")
    for task in made[:3]:
        finish(task)
    storage.write_bytes(made[2].artifact.file(MANIFEST_NAME), b"{")
    with pytest.raises(DamagedError, match=f"{made[2].artifact.path}.*damaged manifest"):
        chain(parse({"root": str(tmp_path / "lake")}), "tokenizer", whole=False)


def test_a_plan_that_begins_with_an_artifact_counts_its_rows(page: str, tmp_path: Path) -> None:
    found = tasks(page, tmp_path / "lake")
    clean = found[1]
    clean.lake.begin(clean.identity, clean.name).commit(Counts(60, 52, {"lorem": 8}))
    begun = tasks(clean.artifact.uri, tmp_path / "lake")
    assert begun[0].step.name == "dedup"
    assert plan(begun)[0].documents == 46, "of 52 those that dedup is expected to keep"


def test_what_a_step_took_under_another_name_is_what_a_plan_expects(
    page: str, tmp_path: Path
) -> None:
    other = tasks(page, tmp_path / "lake", name="other")[0]
    other.lake.begin(other.identity, other.name).commit(Counts(1000, 10, {"empty": 990}))
    mine = tasks(page, tmp_path / "lake", extract={"min_chars": 7})[:2]
    extract, _ = plan(mine)
    assert extract.reason == "not there yet"
    assert extract.documents is None, "one row in a hundred is kept of a page"
