"""The recipes in `examples/`, each run with the very commands that its first lines name, on a small
crawl of local documentation; only sizes are set smaller."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.chain.parameters import from_sources
from infra.lake import Lake
from tests.e2e.whole import REPO, printed

COMMAND = re.compile(r"^#     gristmill (.*)$", re.MULTILINE)
CHAIN = ("run", "plan")
MODEL = {"layers": 2, "heads": 2, "width": 32, "ffn_width": 64, "context_tokens": 64}
SIZES = {
    **{f"train.model.{name}": size for name, size in MODEL.items()},
    "train.steps": 6,
    "train.global_batch_sequences": 4,
    "train.micro_batch_sequences": 2,
    "train.processes": 1,
    "evaluate.sample_tokens": 8,
}


def commands(recipe: str) -> list[list[str]]:
    """The commands that a recipe names, with a smaller size where they run or plan a chain."""
    found = COMMAND.findall((REPO / "examples" / recipe).read_text())
    assert found, recipe
    said = [shlex.split(line, comments=True) for line in found]
    return [[*words, *(sizes() if words[0] in CHAIN else [])] for words in said]


def sizes() -> list[str]:
    """`--set` for each size."""
    return [word for key, size in SIZES.items() for word in ("--set", f"{key}={size}")]


def gristmill(folder: Path, *arguments: str) -> str:
    """What the command prints, called in `folder`, where the recipes are beside the data."""
    environment = {"PYTHONPATH": str(REPO), "SPARK_MASTER": "local[2]"}
    environment |= {"PREFECT_HOME": str(folder / "prefect"), "GRISTMILL_LOGS": str(folder / "logs")}
    return printed(["-m", "flows.command.cli", *arguments], folder, **environment)


def steps(folder: Path, command: list[str]) -> dict[str, dict[str, Any]]:
    """Kind -> what a run says of the artifact."""
    found = json.loads(gristmill(folder, *command, "--json"))["steps"]
    return {step["kind"]: step for step in found}


def place(folder: Path, files: list[str], below: str) -> None:
    """Put the recipes, and these files under `below`, into a folder."""
    shutil.copytree(REPO / "examples", folder / "examples", dirs_exist_ok=True)
    (folder / below).mkdir(exist_ok=True)
    for file in files:
        shutil.copy(file, folder / below)


def report(folder: Path, name: str) -> str:
    """The page of the newest report of that name."""
    artifact = Lake.at(str(folder / "lake")).find(f"report/{name}")
    return Path(artifact.file("report.html")).read_text()


@pytest.mark.parametrize("recipe", sorted(path.name for path in (REPO / "examples").iterdir()))
def test_a_recipe_names_the_command_that_runs_it_and_nothing_unknown(recipe: str) -> None:
    assert "run" in [words[0] for words in commands(recipe)]
    assert from_sources(REPO / "examples" / recipe, [], {}).name == Path(recipe).stem


def test_the_laptop_recipe_ends_with_a_report_and_a_second_run_finds_every_step(
    crawl: list[str], tmp_path: Path
) -> None:
    place(tmp_path, crawl, "crawl")
    plan, run, generate = commands("laptop.yaml")
    assert "rebuild" in gristmill(tmp_path, *plan)
    made = steps(tmp_path, run)
    assert made["clean"]["rejected"].keys() >= {"language", "not_repeated"}
    assert made["clean"]["rows_out"] > made["dedup"]["rows_out"] > 0
    assert "bits per byte" in report(tmp_path, "laptop")
    assert gristmill(tmp_path, *generate).startswith("In the beginning")
    assert all(step["hit"] for step in steps(tmp_path, run).values())


def test_the_nightly_recipe_uses_the_first_nights_tokenizer_on_what_came_since(
    crawl: list[str], tmp_path: Path
) -> None:
    first, other, collect = commands("nightly.yaml")
    place(tmp_path, crawl[:3], "crawl")
    before = steps(tmp_path, first)
    place(tmp_path, crawl[3:], "crawl")
    after = steps(tmp_path, other)
    assert "tokenizer" not in after
    assert after["documents"]["rows_out"] > before["documents"]["rows_out"]
    tokens = Lake.at(str(tmp_path / "lake")).find("tokens/nightly").require()
    assert tokens.details["tokenizer"] == before["tokenizer"]["digest"]
    assert "bits per byte" in report(tmp_path, "nightly")
    gristmill(tmp_path, *collect)
    assert all(step["hit"] for step in steps(tmp_path, other).values())


def test_the_recipe_for_texts_makes_a_model_of_characters(tmp_path: Path) -> None:
    place(tmp_path, [], "books")
    for page in (REPO / "docs").glob("*.md"):
        shutil.copy(page, tmp_path / "books" / f"{page.stem}.txt")
    (run,) = commands("characters.yaml")
    made = steps(tmp_path, run)
    assert "clean" not in made and "dedup" not in made
    assert made["tokenizer"]["type"] == "chars"
    assert made["tokens"]["tokens_val"] > 0.08 * made["tokens"]["tokens_train"]
    assert made["models"]["architecture"] == "Qwen3ForCausalLM"
    assert "bits per byte" in report(tmp_path, "characters")
    assert all(step["hit"] for step in steps(tmp_path, run).values())
