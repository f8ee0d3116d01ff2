"""Documentation as pages: which modules, and that a bad one costs only itself."""

from pathlib import Path

import pytest

from jobs.page.documentation import chosen, modules, render_part, rendered


def test_the_choice_is_seeded_and_leaves_out_modules_with_side_effects() -> None:
    names = modules()
    assert len(names) > 2000
    assert not {"antigravity", "this", "idlelib", "__main__"} & set(names)
    assert chosen(names, 50, 1) == chosen(names, 50, 1) != chosen(names, 50, 2)
    assert set(chosen(names, 50, 1)) < set(names) and len(chosen(names, 50, 1)) == 50


def test_every_module_is_a_page_or_a_counted_failure(tmp_path: Path) -> None:
    pages, failures = render_part(["bisect", "no.such.module", "keyword"], tmp_path, 1 << 20)
    assert list(pages) == ["bisect", "keyword"] and "insort" in pages["bisect"]
    assert failures == {"import_failed": 1}
    assert render_part(["bisect"], tmp_path, 10) == ({}, {"too_large": 1})


def test_a_module_that_ends_the_process_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly_module.py").write_text("import os\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", f"{Path.cwd()}:{tmp_path}")
    pages, failures = render_part(["bisect", "deadly_module", "keyword"], tmp_path, 1 << 20)
    assert list(pages) == ["bisect", "keyword"]
    assert failures == {"crashed": 1}


def test_pages_come_some_at_a_time_and_all_of_them() -> None:
    found = list(rendered(["bisect", "keyword", "no.such.module"], 1 << 20))
    assert {name for pages, _ in found for name in pages} == {"bisect", "keyword"}
    assert sum(failures.total() for _, failures in found) == 1
    assert list(rendered([], 1)) == []
