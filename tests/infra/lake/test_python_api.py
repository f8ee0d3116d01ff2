"""The code in the pages about the Python API runs as it stands there, on a real lake."""

import re
from pathlib import Path

import pytest

from infra.lake import Lake
from tests.flows.command.crawled import SITE, crawled

REPO = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake in `lake/`."""
    folder = tmp_path_factory.mktemp("mill")
    crawled(folder)
    return folder


@pytest.mark.parametrize("page", ["docs/python-api.md", "README.md"])
def test_the_code_of_the_page_runs_from_top_to_bottom(
    page: str, beside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(beside)
    found = re.findall(r"^```python\n(.*?)^```", (REPO / page).read_text(), re.M | re.S)
    blocks = [block.replace("/demo", "/default") for block in found if "mlflow" not in block]
    assert blocks
    exec("\n".join(blocks), {})
    assert SITE in capsys.readouterr().out


def test_the_page_names_every_public_way_to_read_a_lake() -> None:
    text = (REPO / "docs/python-api.md").read_text()
    ways = ("find", "artifacts", "newest", "rejected", "ancestors")
    assert all(f"lake.{way}(" in text and hasattr(Lake, way) for way in ways)
