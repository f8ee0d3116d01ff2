"""What the command prints for people: plans, finished steps, artifacts; texts are never markup."""

import json

import pytest

from flows.card.step import REPORT, ReportParameters
from flows.chain.plan import Line
from flows.command import console
from flows.running.children import Outcome
from infra.lake import Artifact, Lake
from infra.manifest import Counts
from infra.step import Task

INPUTS = {"scores": "5" * 64, "models": "7" * 64}


def finished(lake: Lake) -> Outcome:
    """An outcome of the report, without a page."""
    inputs = {role: Artifact(lake.root, role, "night", digest) for role, digest in INPUTS.items()}
    task = Task(REPORT, lake, "night", ReportParameters(title="[bold]x"), inputs)
    writer = lake.begin(task.identity, "night")
    return Outcome(task, writer.commit(Counts(1234, 1230, {"late": 3, "bad": 1})), False)


def test_a_finished_step_is_one_line_with_its_funnel(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = finished(lake)
    console.outcome(outcome, quiet=False)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split()[:7] == ["report", "1,234", "in", "1,230", "out", "4", "rejected"]
    assert outcome.task.artifact.uri in line


def test_a_step_that_was_there_says_so(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    made = finished(lake)
    console.outcome(Outcome(made.task, made.manifest, True), quiet=False)
    assert capsys.readouterr().out.rstrip().endswith("there already")


def test_quiet_prints_nothing(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    console.outcome(finished(lake), quiet=True)
    assert capsys.readouterr().out == ""


def test_a_plan_shows_the_reason_and_what_to_expect(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        Line("extract", "/lake/x", True, "there already", "", 1200, None, 0.0),
        Line(
            "train",
            "/lake/y",
            False,
            "train.rules [a-z] changed",
            "encoded 4 there, 1 new",
            None,
            9_000_000,
            83.2,
        ),
    ]
    console.plan_table(lines)
    _, hit, rebuild = (" ".join(line.split()) for line in capsys.readouterr().out.splitlines())
    assert hit == "extract hit there already ~1,200"
    said = "train rebuild train.rules [a-z] changed encoded 4 there, 1 new ~9,000,000 ~1 min 23 s"
    assert rebuild == said


def test_artifacts_are_listed_with_short_digests(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = finished(lake)
    artifact, manifest = outcome.task.artifact, outcome.manifest
    console.artifact_table([(artifact, manifest, "")])
    _, line = capsys.readouterr().out.splitlines()
    assert line.split()[:4] == ["report", "night", manifest.digest[:12], "1,230"]
    assert "scores:555555555555 models:777777777777" in line


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_damage_and_digest_are_whole_however_narrow_the_terminal_is(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    outcome = finished(lake)
    monkeypatch.setattr(console.out, "_width", width)
    console.artifact_table([(outcome.task.artifact, outcome.manifest, "page.html is cut")])
    _, line, said = capsys.readouterr().out.splitlines()
    digest = outcome.manifest.digest[:12]
    assert digest in line.split()
    assert said == f"damaged report/night/{digest}: page.html is cut"


def test_a_row_of_json_names_the_folder_by_its_digest(lake: Lake) -> None:
    outcome = finished(lake)
    row = console.row(outcome.task.artifact, outcome.manifest)
    assert row["path"].endswith(row["digest"])
    assert row["inputs"] == {role: digest[:12] for role, digest in INPUTS.items()}


def test_a_manifest_in_json_is_one_line(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    made = finished(lake).manifest
    console.manifest(made, as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == json.loads(made.to_json())
    console.manifest(made, as_json=False)
    assert capsys.readouterr().out.strip() == made.to_json().decode().strip()


def test_crawl_files_are_shown_as_they_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    console.crawl_files([{"uri": "[red]a.warc", "bytes": 1234, "content": "c" * 64}])
    assert capsys.readouterr().out == f"crawl file [red]a.warc  1,234 bytes  {'c' * 12}\n"
