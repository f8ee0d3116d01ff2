"""The report card of a whole run: what page and manifest say, and that it is safe to open."""

import base64
import math
from pathlib import Path

import pytest

from flows.card.step import REPORT
from flows.card.write import run
from infra import tracking
from infra.lake import Lake
from infra.step import Task
from tests.flows.card.lakes import HOSTILE, a_run
from tests.flows.card.pages import Page, page_of

PICTURE = "data:image/svg+xml;base64,"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A run whose report is written."""
    task = a_run(Lake.at(str(tmp_path_factory.mktemp("card") / "lake")), bits=2.0)
    run(task)
    return task


@pytest.fixture(scope="module")
def page(task: Task) -> Page:
    """Its page."""
    return page_of(task)


def test_the_declared_module_runs_the_step() -> None:
    assert REPORT.module == run.__module__


def test_the_manifest_names_the_page_the_score_and_the_verdict(task: Task) -> None:
    manifest = task.artifact.require()
    assert [f.path.rpartition("/")[2] for f in manifest.files] == ["report.html"]
    assert manifest.details["val_bits_per_byte"] == 2.0
    assert (manifest.details["champion"], manifest.details["model_version"]) == (True, "1")


def test_the_page_is_an_artifact_of_the_trainings_run(lake: Lake, tmp_path: Path) -> None:
    run_id = tracking.run_id_for(lake.root, "a" * 64, "demo")
    task = a_run(lake, bits=2.0, mlflow_run=run_id)
    run(task)
    client = tracking.MlflowClient(tracking.uri_for(lake.root))
    logged = Path(client.download_artifacts(run_id, "report.html", str(tmp_path)))
    assert logged.read_bytes() == Path(task.artifact.file("report.html")).read_bytes()


def test_the_manifest_holds_the_funnel(task: Task) -> None:
    stages = task.artifact.require().details["funnel"]
    assert [stage["step"] for stage in stages] == ["extract", "filter", "dedup", "tokenize"]
    assert [stage["rows_in"] for stage in stages] == [20, 14, 11, 10]
    assert [stage["rows_out"] for stage in stages] == [14, 11, 10, 10]
    assert [stage["rejected"] for stage in stages] == [6, 3, 1, 0]
    assert [stage["bytes"] for stage in stages] == [9_000, 8_000, 7_000, 7_000]


def test_the_funnel_adds_up_on_the_page(page: Page) -> None:
    assert "20 records = 10 kept + 10 rejected" in page.words
    for rows_in, rows_out, rejected in ((20, 14, 6), (14, 11, 3), (11, 10, 1), (10, 10, 0)):
        assert f"{rows_in} in = {rows_out} out + {rejected} rejected" in page.words
    assert "the step before left another number" not in page.words


def test_the_funnel_shows_bytes_of_text_where_every_step_counted_them(page: Page) -> None:
    texts = ("9.00 kB of text", "8.00 kB of text", "7.00 kB of text")
    for size in ("90.0 kB as crawled, 80.0 kB read", *texts):
        assert size in page.words


def test_the_page_makes_no_requests_and_runs_no_scripts(page: Page) -> None:
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert [address for address in page.addresses if not address.startswith(PICTURE)] == []
    assert [name for name, _ in page.attributes if name.startswith("on")] == []
    assert "url(" not in page.text
    assert "@import" not in page.text


def test_the_loss_curve_is_inside_the_page(page: Page) -> None:
    (address,) = page.addresses
    svg = base64.b64decode(address.removeprefix(PICTURE), validate=True)
    assert svg.startswith(b"<?xml") and svg.rstrip().endswith(b"</svg>")


@pytest.mark.parametrize("curve", [[], [[1, 8.3, None]], [[1, math.nan, None], [2, math.inf, 3.0]]])
def test_a_card_without_a_curve_has_no_picture(lake: Lake, curve: list[list[float | None]]) -> None:
    task = a_run(lake, bits=2.0, curve=curve)
    run(task)
    assert page_of(task).addresses == []
    assert "First champion" in page_of(task).words


def test_hostile_addresses_texts_and_names_are_shown_as_text(page: Page) -> None:
    assert f"{HOSTILE}not_text/0" in page.text
    assert f"{HOSTILE}.warc" in page.text
    assert "text 0 <script>" in page.text
    assert "grist <script>" in page.text
    assert "words > 50 AND <b>" in page.text


def test_every_ancestor_stands_on_the_page_with_its_digest(task: Task, page: Page) -> None:
    for artifact in task.lake.ancestors(*task.inputs.values()):
        assert artifact.digest in page.text


def test_a_rejected_row_stands_under_its_reason(page: Page) -> None:
    empty, _, rest = page.words.partition(f"{HOSTILE}not_text/0")
    assert empty.index("https://a.example/empty/0") < empty.index("https://a.example/empty/2")
    assert "https://a.example/empty/3" not in page.words
    assert rest.index("https://a.example/too_short/0") < rest.index(
        "https://a.example/exact_duplicate/0"
    )
