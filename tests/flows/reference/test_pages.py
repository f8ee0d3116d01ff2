"""The reference is what the declarations say, whole and current."""

from dataclasses import fields
from pathlib import Path

import pytest

from flows.chain.steps import STEPS
from flows.reference.lake import FIELDS
from flows.reference.markdown import code, table
from flows.reference.pages import FOLDER, pages
from infra.declared import declared
from infra.manifest import Manifest
from infra.settings import Settings
from jobs.columns import TABLES, Table
from jobs.filter import default_rules

REPO = Path(__file__).parents[3]
PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_what_would_be_written(name: str) -> None:
    committed = (REPO / FOLDER / name).read_text(encoding="utf-8")
    assert committed == PAGES[name], "run `make reference`"


def test_no_page_is_left_of_what_is_no_longer_declared() -> None:
    assert {path.name for path in (REPO / FOLDER).iterdir()} == set(PAGES)


@pytest.mark.parametrize("step", STEPS)
def test_every_parameter_has_a_line_with_its_meaning(step: str) -> None:
    for parameter in declared(STEPS[step].parameters, step):
        assert parameter.meaning
        assert f"\n| `{parameter.key}` | " in PAGES["parameters.md"]


def test_values_are_told_by_preset_where_they_differ() -> None:
    (steps,) = (x for x in PAGES["parameters.md"].splitlines() if x.startswith("| `train.steps` "))
    assert "`300`<br>`gpt2_small`: `10000`<br>`llama_7b`: `500000`" in steps
    assert "shakespeare" not in steps


@pytest.mark.parametrize("each", TABLES, ids=lambda each: each.name)
def test_every_column_has_a_meaning(each: Table) -> None:
    assert set(each.schema.names) <= each.meanings.keys()
    assert all(each.meanings[name] for name in each.schema.names)


def test_every_meaning_belongs_to_a_column() -> None:
    named = {(id(each.meanings), name) for each in TABLES for name in each.meanings}
    used = {(id(each.meanings), name) for each in TABLES for name in each.schema.names}
    assert named == used


def test_every_field_of_a_manifest_is_told_in_its_order() -> None:
    assert list(FIELDS) == [field.name for field in fields(Manifest)]


def test_every_rule_and_every_reason_is_told() -> None:
    reasons = {reason for step in STEPS.values() for reason in step.reasons}
    assert all(code(name) in PAGES["reasons.md"] for name in {*default_rules(), *reasons})


def test_every_setting_is_told() -> None:
    names = [str(info.alias) for info in Settings.model_fields.values()]
    assert all(f"| `{name}` |" in PAGES["settings.md"] for name in names)


def test_an_option_tells_its_default_also_where_it_is_zero() -> None:
    generate = PAGES["commands.md"].partition("## gristmill generate")[2].partition("## ")[0]
    assert "| `--seed` | `0` |" in generate
    assert "| `--json` |  |" in generate


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert table(["a"], [["x | y\nz"]]).splitlines()[-1] == r"| x \| y<br>z |"
