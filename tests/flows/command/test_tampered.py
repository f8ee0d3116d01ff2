"""A manifest that somebody altered: neither `verify --repair` nor a step that is made again touches
what lies outside the lake, and each says the damage in a line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.command.cli import app
from infra.lake import Artifact, Lake
from infra.manifest import MANIFEST_NAME

CRAWL = ["sample", "--pages", "3", "--root"]


@pytest.fixture
def crawl(lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Artifact:
    """A finished artifact, made by its step."""
    monkeypatch.chdir(tmp_path)
    app([*CRAWL, lake.root], standalone_mode=False)
    (made,) = lake.artifacts()
    return made


def by_repair(root: str) -> None:
    """`gristmill verify --repair`."""
    app(["verify", "--repair", "--root", root], standalone_mode=False)


def by_the_step(root: str) -> None:
    """The step, called once more."""
    app([*CRAWL, root], standalone_mode=False)


@pytest.mark.parametrize("mended", [by_repair, by_the_step])
@pytest.mark.parametrize("path", ["shards/../../victim", "{own}/../../../../victim"])
def test_what_an_altered_manifest_names_outside_the_lake_stays(
    crawl: Artifact,
    path: str,
    mended: Callable[[str], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").write_text("dear")
    where = Path(crawl.file(MANIFEST_NAME))
    manifest = json.loads(where.read_text())
    entry = {"path": path.format(own=crawl.path), "size_bytes": 1, "sha256": "0" * 64}
    where.write_text(json.dumps(manifest | {"files": [*manifest["files"], entry]}))
    capsys.readouterr()
    mended(crawl.lake_root)
    said = [line for line in capsys.readouterr().out.splitlines() if "no file of a lake" in line]
    assert len(said) == 1 and f"{crawl.path}/{MANIFEST_NAME}" in said[0]
    assert (victim / "kept").read_text() == "dear"
    assert (crawl.manifest() is None) == (mended is by_repair)
