"""The sample crawl: real pages in valid archives, the same bytes whenever it is made."""

import json
import sys
from pathlib import Path

import pytest

from infra import storage
from infra.lake import Lake
from infra.manifest import Manifest
from infra.process import run as run_child
from infra.step import Task
from jobs import sample
from jobs.crawl import records
from jobs.page.main_content import main_content
from jobs.sample import SampleParameters
from jobs.text.charset import decode
from jobs.text.language import language


def made(lake: Lake, **parameters: int) -> tuple[Task, Manifest]:
    """A small sample crawl."""
    task = Task(
        sample.STEP, lake, "test", SampleParameters(environment=sample.environment(), **parameters)
    )
    return task, sample.run(task)


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> tuple[Task, Manifest]:
    """40 pages in two files."""
    return made(Lake.at(str(tmp_path_factory.mktemp("sample"))), pages=40, shards=2)


def test_every_chosen_module_is_a_page_or_a_counted_failure(crawl: tuple[Task, Manifest]) -> None:
    task, manifest = crawl
    assert manifest.counts.rows_in == 40
    assert manifest.counts.rows_out >= 30
    assert [entry.path.rpartition("/")[2] for entry in manifest.files] == [
        "pydoc-00000.warc.gz",
        "pydoc-00001.warc.gz",
    ]
    found = [record for uri in task.artifact.data_uris() for record in records(uri)]
    assert sum(record.reason is None for record in found) == manifest.counts.rows_out
    assert {record.reason for record in found} == {None, "not_a_response"}


def test_pages_are_english_documentation(crawl: tuple[Task, Manifest]) -> None:
    pages = [
        record
        for uri in crawl[0].artifact.data_uris()
        for record in records(uri)
        if record.reason is None
    ]
    texts = [main_content(decode(page.payload, page.charset)[0])[1] for page in pages]
    assert sum(language(text)[0] == "en" for text in texts) >= 0.7 * len(texts)
    assert sum(len(text) > 200 for text in texts) >= 0.7 * len(texts)


def test_no_page_shows_the_process_that_rendered_it(crawl: tuple[Task, Manifest]) -> None:
    for uri in crawl[0].artifact.data_uris():
        for page in records(uri):
            for trace in (b"rendering.py", b"__warningregistry__", sys.prefix.encode()):
                assert trace not in page.payload, (page.url, trace)


def test_the_same_parameters_give_the_same_bytes(crawl: tuple[Task, Manifest], lake: Lake) -> None:
    assert made(lake, pages=40, shards=2)[1].content == crawl[1].content


def test_the_step_runs_as_a_process_of_its_own(lake: Lake, tmp_path: Path) -> None:
    task = Task(sample.STEP, lake, "test", SampleParameters(pages=5, shards=1))
    request = tmp_path / "task.json"
    storage.write_bytes(str(request), json.dumps(task.request()).encode())
    events = list(
        run_child([sys.executable, "-m", "jobs.sample", str(request)], tmp_path / "log", "sample")
    )
    assert events[-1] == {"event": "result", "digest": task.identity.digest}
    assert task.artifact.require().counts.rows_in == 5
