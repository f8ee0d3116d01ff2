"""A new step is one module and one line: docs/adding-a-step.md, done in a copy of the house, is
found everywhere."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from infra.lake import Lake
from tests.e2e.whole import REPO, parameters, printed

PACKAGES = ("flows", "infra", "jobs", "model")
SCHEMA = (
    "import json; from flows.chain.parameters import PipelineParameters;"
    " print(json.dumps(PipelineParameters.model_json_schema()))"
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with the page's module and the page's line."""
    folder = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(REPO / package, folder / package)
    page = (REPO / "docs/adding-a-step.md").read_text()
    module, line = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (folder / "jobs/quiet.py").write_text(module)
    steps = folder / "jobs/steps.py"
    steps.write_text(steps.read_text().replace('    "dedup",\n', f'    "dedup",\n{line}'))
    return folder


def python(house: Path, *arguments: str) -> str:
    """What Python prints, with the copy's packages."""
    environment = {"PYTHONPATH": str(house), "GRISTMILL_LOGS": str(house / "logs")}
    environment |= {"SPARK_MASTER": "local[2]", "COLUMNS": "200"}
    return printed(list(arguments), house, **environment)


def gristmill(house: Path, *arguments: str) -> str:
    """What the copy's command prints."""
    return python(house, "-m", "flows.command.cli", *arguments)


@pytest.fixture(scope="module")
def made(house: Path, crawl: list[str]) -> dict[str, Any]:
    """A whole run of the copy: the object that `run --json` prints."""
    config = house / "run.json"
    values = parameters(str(house / "lake"), crawl) | {"quiet": {"most_capitals": 0.08}}
    config.write_text(json.dumps(values))
    plan = json.loads(gristmill(house, "plan", "--config", str(config), "--json"))
    run = json.loads(gristmill(house, "run", "--config", str(config), "--json"))
    again = json.loads(gristmill(house, "plan", "--config", str(config), "--json"))
    return {"plan": plan["steps"], "run": run["steps"], "again": again["steps"]}


def test_it_is_in_the_help_with_its_parameters(house: Path) -> None:
    assert "Leave out documents that shout." in gristmill(house, "--help")
    assert "--most-capitals" in gristmill(house, "quiet", "--help")


def test_it_is_a_section_of_the_form_in_its_place(house: Path) -> None:
    properties = json.loads(python(house, "-c", SCHEMA))["properties"]
    names = list(properties)
    assert names.index("quiet") == names.index("dedup") + 1 == properties["quiet"]["position"]
    assert properties["quiet"]["properties"]["most_capitals"]["default"] == 0.3


def test_it_is_in_the_plan_before_and_after_the_run(made: dict[str, Any]) -> None:
    steps = [line["step"] for line in made["plan"]]
    assert steps[steps.index("dedup") : steps.index("tokenizer") + 1] == [
        "dedup",
        "quiet",
        "tokenizer",
    ]
    (line,) = [line for line in made["plan"] if line["step"] == "quiet"]
    assert re.fullmatch(r"quiet 0 there, \d+ new", line["shards"])
    assert all(line["hit"] for line in made["again"])


def test_the_next_step_reads_its_output_and_the_rows_add_up(
    house: Path, made: dict[str, Any]
) -> None:
    by_step = {step["step"]: step for step in map(with_step, made["run"])}
    quiet = by_step["quiet"]
    assert quiet["rows_in"] == by_step["dedup"]["rows_out"]
    assert quiet["rejected"]["shouting"] > 0
    assert quiet["rows_out"] == quiet["rows_in"] - quiet["rejected"]["shouting"]
    assert by_step["tokenize"]["rows_in"] == quiet["rows_out"]
    tokenizer = Lake.at(str(house / "lake")).find("tokenizer/default").require()
    assert tokenizer.inputs["documents"].startswith(quiet["digest"])


def with_step(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary with its step's name: the kind of artifact tells it."""
    kinds = {"documents": "extract", "clean": "filter", "tokens": "tokenize"}
    return {**summary, "step": kinds.get(summary["kind"], summary["kind"])}


def test_it_is_a_stage_of_the_funnel_with_samples_of_what_it_rejected(
    house: Path, made: dict[str, Any]
) -> None:
    report = Lake.at(str(house / "lake")).find("report/default")
    stages = [stage["step"] for stage in report.require().details["funnel"]]
    assert stages == ["extract", "filter", "dedup", "quiet", "tokenize"]
    assert "shouting" in Path(report.file("report.html")).read_text()


def test_it_is_in_the_lineage(house: Path, made: dict[str, Any]) -> None:
    found = gristmill(house, "lineage", "tokens/default", "--root", str(house / "lake"), "--json")
    assert "quiet" in [artifact["step"] for artifact in json.loads(found)["artifacts"]]
