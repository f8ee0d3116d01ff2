"""The report card and the gate, on a small lake of real manifests and a real MLflow registry in SQLite."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.card.figures import duration, line_plot, scaled, share, ticks
from flows.card.gate import gate
from flows.card.step import REPORT, ReportParameters
from flows.card.write import Made, funnel_of, rejected_samples, write_report
from infra import storage, tracking
from infra.errors import GristmillError
from infra.lake import Artifact, Lake
from infra.manifest import Counts, Identity, Manifest
from infra.step import Task

HOSTILE = "<script>alert('x')</script><img src=https://evil.example/x.png>"
ROW = pa.schema(
    [
        ("doc_id", pa.binary(16)),
        ("url", pa.string()),
        ("text", pa.string()),
        ("reject_reason", pa.string()),
    ]
)


def make(
    lake: Lake,
    place: str,
    inputs: dict[str, Artifact],
    counts: Counts,
    files: dict[str, Any],
    details: dict[str, Any],
    **parameters: Any,
) -> Artifact:
    """A finished artifact, made unless it is there; `place` is `kind/step`, `.parquet` files are lists of rows, others JSON."""
    kind, step = place.split("/")
    identity = Identity(kind, step, 1, parameters, {role: a.digest for role, a in inputs.items()})
    artifact = Artifact(lake.root, kind, "default", identity.digest)
    if artifact.manifest():
        return artifact
    writer = lake.begin(identity)
    for path, content in files.items():
        if path.endswith(".parquet"):
            Path(writer.file(path)).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(content, ROW), writer.file(path), row_group_size=4)
        else:
            storage.write_bytes(writer.file(path), json.dumps(content).encode())
    writer.commit(counts, details=details)
    return artifact


def rows(
    number: int, reason: str | None = None, url: str = "https://a.example/"
) -> list[dict[str, Any]]:
    """Rows as the steps write them."""
    return [
        {
            "doc_id": i.to_bytes(16, "big"),
            "url": f"{url}{reason}/{i}",
            "text": f"text {i} {HOSTILE}",
            "reject_reason": reason,
        }
        for i in range(number)
    ]


def parts(kept: int, rejected: list[dict[str, Any]]) -> dict[str, Any]:
    """Files of a step on rows."""
    return {"part-0.parquet": rows(kept), "rejected/part-0.parquet": rejected}


def a_run(lake: Lake, bits: float, seed: int = 1, **parameters: Any) -> Task:
    """The report's task over a lake that holds a whole run, whose model scores `bits`; another seed is another model."""
    crawl = {"crawl": Artifact(lake.root, "crawl", "default", "c" * 64)}
    counts = Counts(20, 14, {"empty": 5, "not_text": 1}, {"bytes_text": 9_000})
    files = [{"uri": f"{HOSTILE}.warc", "bytes": 90_000, "content": "f" * 64}]
    details: dict[str, Any] = {"bytes_in": 90_000, "crawl": files}
    documents = make(
        lake,
        "documents/extract",
        crawl,
        counts,
        parts(14, rows(5, "empty") + rows(1, "not_text", HOSTILE)),
        details,
    )
    counts = Counts(14, 11, {"too_short": 3}, {"bytes_text": 8_000})
    clean = make(
        lake,
        "clean/filter",
        {"documents": documents},
        counts,
        parts(11, rows(3, "too_short")),
        {},
        keep="words > 50 AND <b>",
    )
    counts = Counts(11, 10, {"exact_duplicate": 1}, {"bytes_text": 7_000})
    dedup = make(
        lake, "dedup/dedup", {"documents": clean}, counts, parts(10, rows(1, "exact_duplicate")), {}
    )
    tokenizer = make(
        lake,
        "tokenizer/tokenizer",
        {"documents": dedup},
        Counts(10, 10),
        {"tokenizer.json": {}},
        {},
    )
    splits = {
        "train": {"tokens": 2_000, "bytes": 6_300, "documents": 9, "files": []},
        "val": {"tokens": 200, "bytes": 700, "documents": 1, "files": []},
    }
    details = {"splits": splits, "vocab_size": 4096, "tokenizer_type": "bpe"}
    inputs = {"documents": dedup, "tokenizer": tokenizer}
    tokens = make(
        lake, "tokens/tokenize", inputs, Counts(10, 10), {"part-0.parquet": rows(10)}, details
    )
    curve = [[1, 8.3, None], [50, 5.0, 5.1], [100, 4.2, 4.4]]
    details = {"curve": curve, "parameters": 1_900_000, "steps": 100, "tokens_seen": 16_384}
    trained = {"tokens": tokens, "tokenizer": tokenizer}
    checkpoints = make(
        lake, "checkpoints/train", trained, Counts(64, 64), {"model.json": {}}, details, seed=seed
    )
    source = {
        "val_bits_per_byte": bits,
        "val_loss": bits * 2.4,
        "perplexity": 80.0,
        "val_tokens": 199,
        "val_bytes": 700,
    }
    details = {**source, "per_source": {"web": source, HOSTILE: source}}
    written = {"samples.json": [{"prompt": "The ", "text": "grist " + HOSTILE}]}
    scores = make(
        lake,
        "scores/evaluate",
        {"checkpoints": checkpoints, **trained},
        Counts(1, 1),
        written,
        details,
    )
    models = make(
        lake,
        "models/export",
        {"checkpoints": checkpoints, "tokenizer": tokenizer},
        Counts(1, 1),
        {"config.json": {}},
        {},
    )
    return Task(
        REPORT,
        lake,
        "default",
        ReportParameters(**parameters),
        {"scores": scores, "models": models},
    )


def page_of(task: Task) -> str:
    """The page that a finished report holds."""
    return storage.read_bytes(task.artifact.file("report.html")).decode()


class Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def words(self) -> str:
        """The text with single spaces."""
        return " ".join(self.text.split())


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables made and nothing in them: making them takes seconds."""
    root = tmp_path_factory.mktemp("registry")
    assert tracking.champion(str(root), "gristmill") is None
    return root / "mlflow.db"


@pytest.fixture
def lake(lake: Lake, registry: Path) -> Lake:
    """An empty lake with an empty registry."""
    storage.write_bytes(storage.join(lake.root, "mlflow.db"), registry.read_bytes())
    return lake


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A run whose report is written."""
    task = a_run(Lake.at(str(tmp_path_factory.mktemp("card") / "lake")), bits=2.0)
    write_report(task)
    return task


@pytest.fixture(scope="module")
def page(task: Task) -> Page:
    """Its page."""
    return Page(page_of(task))


def test_the_manifest_names_the_page_the_score_and_the_verdict(task: Task) -> None:
    manifest = task.artifact.require()
    assert [f.path for f in manifest.files] == ["report.html"]
    assert manifest.details["val_bits_per_byte"] == 2.0
    assert (manifest.details["champion"], manifest.details["model_version"]) == (True, "1")
    assert [s["rows_out"] for s in manifest.details["funnel"]] == [14, 11, 10, 10]


def test_the_funnel_adds_up_on_the_page(page: Page) -> None:
    assert "20 seen = 10 kept + 10 rejected" in page.words
    for rows_in, rows_out, rejected in ((20, 14, 6), (14, 11, 3), (11, 10, 1), (10, 10, 0)):
        assert f"{rows_in} in = {rows_out} out + {rejected} rejected" in page.words
    assert "the step before left another number" not in page.words


def test_the_funnel_shows_bytes_of_text_where_every_step_counted_them(page: Page) -> None:
    for size in ("90.0 kB as crawled", "9.00 kB of text", "8.00 kB of text", "7.00 kB of text"):
        assert size in page.words


def test_the_funnel_shows_stored_bytes_where_a_step_did_not_count_its_text(lake: Lake) -> None:
    crawl = {"crawl": Artifact(lake.root, "crawl", "default", "c" * 64)}
    documents = make(
        lake,
        "documents/extract",
        crawl,
        Counts(6, 5, {"empty": 1}, {"bytes_text": 99}),
        parts(5, rows(1, "empty")),
        {},
    )
    clean = make(lake, "clean/filter", {"documents": documents}, Counts(5, 5), parts(5, []), {})
    made = [Made(a, a.require()) for a in (documents, clean)]
    funnel = funnel_of(made, 1)
    assert funnel["measure"] == "stored"
    assert [stage["bytes"] for stage in funnel["stages"]] == [
        m.manifest.data_files()[0].size_bytes for m in made
    ]


def test_the_page_makes_no_requests_and_runs_no_scripts(page: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(page.tags)
    assert not [
        name
        for name, _ in page.attributes
        if name in ("src", "href", "srcset") or name.startswith("on")
    ]
    assert "url(" not in page.text
    assert "@import" not in page.text


def test_hostile_addresses_texts_and_names_are_shown_as_text(page: Page) -> None:
    assert f"{HOSTILE}not_text/0" in page.text
    assert f"{HOSTILE}.warc" in page.text
    assert "text 0 <script>" in page.text
    assert "grist <script>" in page.text
    assert "words > 50 AND <b>" in page.text


def test_every_ancestor_stands_on_the_page_with_its_digest(task: Task, page: Page) -> None:
    for artifact in task.lake.ancestors(*task.inputs.values()):
        assert artifact.digest in page.text


def test_each_reason_shows_as_many_rows_as_asked_for_in_the_order_of_the_files(task: Task) -> None:
    (documents,) = (a for a in task.lake.ancestors(task.inputs["models"]) if a.kind == "documents")
    chosen = rejected_samples(Made(documents, documents.require()), 3)
    assert {reason: len(found) for reason, found in chosen.items()} == {"empty": 3, "not_text": 1}
    assert [sample["url"][-1] for sample in chosen["empty"]] == ["0", "1", "2"]
    assert rejected_samples(Made(documents, documents.require()), 0) == {}


def test_a_better_model_becomes_champion_and_its_card_shows_the_one_it_beat(lake: Lake) -> None:
    write_report(a_run(lake, bits=2.0))
    better = a_run(lake, bits=1.9, seed=2)
    assert write_report(better).details["champion"] is True
    standing = tracking.champion(lake.root, "gristmill")
    assert standing is not None and standing["digest"] == better.inputs["models"].digest
    assert (
        "takes over from version 1: 1.9000 bits per byte instead of 2.0000"
        in Page(page_of(better)).words
    )


@pytest.mark.parametrize("bits", [2.0, 2.1])
def test_a_worse_or_equal_model_is_registered_but_does_not_move_the_champion(
    lake: Lake, bits: float
) -> None:
    first = a_run(lake, bits=2.0)
    write_report(first)
    manifest = write_report(a_run(lake, bits=bits, seed=2))
    assert (manifest.details["champion"], manifest.details["model_version"]) == (False, "2")
    standing = tracking.champion(lake.root, "gristmill")
    assert standing is not None and standing["digest"] == first.inputs["models"].digest


def scores_of(task: Task) -> Manifest:
    """The manifest that the gate decides by."""
    return task.inputs["scores"].require()


def test_a_report_that_died_after_the_gate_gives_the_same_verdict_and_version(lake: Lake) -> None:
    write_report(a_run(lake, bits=2.0))
    task = a_run(lake, bits=1.9, seed=2)
    verdict = gate(task, scores_of(task))
    assert gate(task, scores_of(task)) == verdict
    manifest = write_report(task)
    assert (manifest.details["champion"], manifest.details["model_version"]) == (True, "2")
    assert "takes over from version 1" in Page(page_of(task)).words


def test_a_verdict_is_taken_back_when_a_better_champion_came_in_between(lake: Lake) -> None:
    task = a_run(lake, bits=2.0)
    assert gate(task, scores_of(task))["champion"] is True
    write_report(a_run(lake, bits=1.9, seed=2))
    manifest = write_report(task)
    assert manifest.details["champion"] is False
    standing = tracking.champion(lake.root, "gristmill")
    assert standing is not None and standing["version"] == "2"


def test_a_second_report_on_the_champion_says_so(lake: Lake) -> None:
    write_report(a_run(lake, bits=2.0))
    again = a_run(lake, bits=2.0, title="Another heading")
    assert (write_report(again).details["model_version"]) == "1"
    assert "This model is the champion already" in Page(page_of(again)).words


def test_a_model_without_a_finite_score_is_not_registered(lake: Lake) -> None:
    task = a_run(lake, bits=float("nan"))
    with pytest.raises(GristmillError, match="no finite val_bits_per_byte"):
        write_report(task)
    assert task.artifact.manifest() is None
    assert tracking.champion(lake.root, "gristmill") is None


def test_numbers_read_as_people_write_them() -> None:
    assert [scaled(v) for v in (0, 5, 0.5, 999, 999.6, 1234567, 2.5e9)] == [
        "0",
        "5",
        "0.50",
        "999",
        "1.00 k",
        "1.23 M",
        "2.50 B",
    ]
    assert [duration(s) for s in (4.21, 59.99, 83.2, 3599.7, 3725)] == [
        "4.2 s",
        "1 min 00 s",
        "1 min 23 s",
        "1 h 00 min",
        "1 h 02 min",
    ]
    assert [share(1, 3), share(1, 10_000), share(0, 3), share(1, 0)] == [
        "33.3 %",
        "< 0.1 %",
        "0.0 %",
        "0.0 %",
    ]


@pytest.mark.parametrize(
    ("low", "high"), [(3.9, 8.4), (0, 300), (2, 2), (0.01, 0.013), (1, 1_000_000)]
)
def test_ticks_are_few_and_enclose_the_values(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low and high <= found[-1] and len(found) <= 8


def test_a_plot_spans_its_box_and_leaves_out_what_is_missing() -> None:
    plot = line_plot(
        {"training": [(0, 4.0), (2, float("nan")), (4, 2.0)], "validation": [(1, None), (2, 3.0)]}
    )
    assert plot is not None
    assert plot["lines"] == {"training": [(0.0, 0.0), (100.0, 100.0)], "validation": [(50.0, 50.0)]}
    assert line_plot({"training": [(1, 4.0)], "validation": []}) is None
