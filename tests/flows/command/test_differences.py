"""How two artifacts or runs differ, on lakes of real artifacts."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.command.cli import app
from flows.command.differences import difference, differences, named
from infra.errors import UsageError
from infra.lake import Artifact, Lake
from tests.flows.card.lakes import a_run
from tests.flows.command.crawled import crawled, filters, layered


@pytest.fixture
def runs(lake: Lake) -> tuple[Lake, Artifact, Artifact]:
    """The scores of two trainings on the same tokens, from another seed each."""
    first, second = (a_run(lake, bits, seed) for bits, seed in ((2.5, 1), (2.25, 2)))
    return lake, first.inputs["scores"], second.inputs["scores"]


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Artifact, Artifact]:
    """Two filters of the same real documents."""
    lake = crawled(tmp_path_factory.mktemp("mill"))
    documents, clean = lake.find("documents/default"), lake.find("clean/default")
    again = layered(lake, documents, "clean/filter", filters(), {"rules": {"other": "n_words > 9"}})
    return lake, clean, again


def kind(found: dict[str, Any], name: str) -> dict[str, Any]:
    """What is said of one kind."""
    (only,) = (each for each in found["kinds"] if each["kind"] == name)
    return dict(only)


def test_scores_differ_by_how_much(runs: tuple[Lake, Artifact, Artifact]) -> None:
    scores = kind(differences(*runs), "scores")
    assert scores["details"]["val_bits_per_byte"] == [2.5, 2.25]
    assert scores["details"]["per_source.web.val_bits_per_byte"] == [2.5, 2.25]
    assert difference(scores["details"]["val_bits_per_byte"]) == -0.25


def test_the_parameter_that_differs_is_found_where_it_was_given(
    runs: tuple[Lake, Artifact, Artifact],
) -> None:
    found = differences(*runs)
    assert kind(found, "checkpoints")["parameters"] == {"train.seed": [1, 2]}
    assert kind(found, "scores")["parameters"] == {}
    assert list(kind(found, "scores")["inputs"]) == ["checkpoints"]


def test_what_both_were_made_from_is_the_same(runs: tuple[Lake, Artifact, Artifact]) -> None:
    found = differences(*runs)
    same = [each["kind"] for each in found["kinds"] if each["same"]]
    assert same == ["documents", "clean", "dedup", "tokenizer", "tokens"]
    assert found["crawl"] == {"left": [], "right": [], "common": 1}


def test_parameters_counts_and_inputs_of_real_artifacts(
    mill: tuple[Lake, Artifact, Artifact],
) -> None:
    clean = kind(differences(*mill), "clean")
    assert clean["parameters"]["filter.rules.other"] == [None, "n_words > 9"]
    assert clean["parameters"]["filter.rules.long_enough"][1] is None
    assert clean["inputs"] == {}
    assert clean["counts"].keys() >= {"rows_in", "rows_out"}


def test_an_artifact_does_not_differ_from_itself(mill: tuple[Lake, Artifact, Artifact]) -> None:
    lake, clean, _ = mill
    assert all(each["same"] for each in differences(lake, clean, clean)["kinds"])


def test_a_kind_on_one_side_alone_is_said_to_be(mill: tuple[Lake, Artifact, Artifact]) -> None:
    lake, clean, _ = mill
    found = kind(differences(lake, clean, lake.find("dedup/default")), "dedup")
    assert (found["left"], found["same"], found["counts"]) == (None, False, {})


def test_a_runs_name_stands_for_what_its_last_step_made(lake: Lake) -> None:
    a_run(lake, 2.5)
    for source in Path(lake.root).glob("*/default"):
        shutil.copytree(source, source.parent / "night")
    assert named(lake, "night").path == lake.newest("models", name="night").path  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="no such artifact"):
        named(lake, "noon")


def call(*arguments: str) -> str:
    """What `gristmill diff` prints."""
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["diff", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_names_both_values_and_the_difference(
    runs: tuple[Lake, Artifact, Artifact],
) -> None:
    lake, left, right = runs
    said = call(left.path, right.path, "--root", lake.root)
    rows = [line.split() for line in said.splitlines()]
    assert ["train.seed", "1", "2"] in rows
    assert ["val_bits_per_byte", "2.5", "2.25", "-0.25"] in rows
    assert any("tokens" in row and "same," in row for row in rows)


def test_the_command_gives_one_json_object(runs: tuple[Lake, Artifact, Artifact]) -> None:
    lake, left, right = runs
    said = call(left.digest[:8], right.digest[:8], "--root", lake.root, "--json")
    assert json.loads(said) == differences(*runs)
