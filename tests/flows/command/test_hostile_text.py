"""What a page, a file's name or a model says is shown and steers no terminal: whoever looks at a
lake of a hostile crawl sees text alone, on its own line, in its own order."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.command import bars, cli, console
from flows.command.cli import app, fail
from flows.reference.markdown import code
from flows.report import verdict
from infra.errors import GristmillError, UsageError
from infra.failures import failure
from infra.lake import Lake
from infra.show import STEERING
from tests.flows.command.crawled import RULES, extracted, filters, layered

SIGNS = "\x1b]0;taken\x07\x1b[2J\x1b[31m\x9b31m\u202e\u2066\u061c\u2028\u0085\r\x7f\x00"
GRIST = "The miller grinds the grain of the village into flour, slowly and with great care. " * 4
URLS = {
    "kept": f"https://a.example/{SIGNS}\nerror: a line of its own",
    "markup": "https://a.example/[bold]x[/bold][/]",
    "rejected": f"https://a.example/short{SIGNS}",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of a crawl whose addresses, titles, texts and file name steer a terminal."""
    root = tmp_path_factory.mktemp("hostile")
    pages = {"kept": GRIST + SIGNS, "markup": f"[red]{GRIST}[/]", "rejected": f"Short {SIGNS}."}
    rows = [
        {"url": URLS[name], "title": f"Title {SIGNS}", "text": text} for name, text in pages.items()
    ]
    rows.append({"url": URLS["rejected"], "html": f"<title>T{SIGNS}</title><p>{GRIST}{SIGNS}</p>"})
    name = "evil\x1b[31m\u202e\u009bname\n.jsonl"
    (root / name).write_text("\n".join(map(json.dumps, rows)))
    lake = Lake.at(str(root / "lake"))
    documents = extracted(lake, str(root))
    layered(lake, documents, "clean/filter", filters(), {"rules": RULES})
    return lake


@pytest.fixture
def closed_eyes(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """After the test: something was printed, and nothing of it steers."""
    yield
    seen = capsys.readouterr()
    assert (seen.out + seen.err).strip()
    assert STEERING.findall((seen.out + seen.err).replace("\n", "")) == []
    assert not any(line.startswith("error: a line") for line in (seen.out + seen.err).splitlines())


def look(lake: Lake, *arguments: str) -> None:
    """Call the command as `main` does, in this process."""
    try:
        app([*arguments, "--root", lake.root], standalone_mode=False)
    except GristmillError as error:
        fail(str(error), 2)


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize(
    "arguments",
    [
        *(["ls"], ["show", "documents/default"], ["show", "clean/default"]),
        *(["lineage", "clean/default"], ["diff", "documents/default", "clean/default"]),
        *(["verify"], ["verify", "--hashes"], ["gc", "--dry-run"]),
        *(["why", url] for url in URLS.values()),
        *(["why", f"nowhere{SIGNS}"], ["show", f"x{SIGNS}"], ["ls", "--kind", f"x{SIGNS}"]),
    ],
    ids=lambda each: each[0],
)
def test_no_command_that_looks_repeats_what_steers(
    hostile: Lake, closed_eyes: None, arguments: list[str], as_json: list[str]
) -> None:
    look(hostile, *arguments, *as_json)


@pytest.mark.parametrize("address", ["https://u:{}@b/k", "https//u:{}@b/k", "//u:{}@b/k"])
@pytest.mark.parametrize(
    "before",
    [["why"], ["show"], ["extract", "--input"], ["run", "--input"], ["run", "--preset"], []],
)
def test_no_failure_repeats_the_password_of_an_address(
    hostile: Lake,
    before: list[str],
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = ["gristmill", *before, address.format("hunter2"), "--root", hostile.root]
    monkeypatch.setattr("sys.argv", said)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    seen = capsys.readouterr()
    assert ended.value.code == 2
    assert "b/k" in seen.err
    assert "hunter2" not in seen.out + seen.err


def test_json_gives_the_value_itself(hostile: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    look(hostile, "why", URLS["kept"], "--json")
    (found,) = json.loads(capsys.readouterr().out)["documents"]
    assert found["url"] == URLS["kept"]
    assert found["crawl"]["uri"].endswith("evil\x1b[31m\u202e\u009bname\n.jsonl")


def test_a_damaged_manifest_that_names_signs_is_a_line(
    hostile: Lake, closed_eyes: None, tmp_path: Path
) -> None:
    folder = tmp_path / "lake" / "documents" / f"n{SIGNS.replace(chr(0), '')}" / "0123456789ab"
    folder.mkdir(parents=True)
    (folder / "_MANIFEST.json").write_text(json.dumps({"format": SIGNS}))
    (tmp_path / "lake" / "_LAKE.json").write_text("{}")
    for command in ("ls", "verify"):
        with contextlib.suppress(GristmillError):
            look(Lake.at(str(tmp_path / "lake")), command)


def test_no_text_of_a_model_no_progress_and_no_failure_steers(closed_eyes: None) -> None:
    console.text(f"The {SIGNS}\nsecond line")
    console.sample(f"The {SIGNS}", f"[/]{SIGNS}\nsecond line")
    console.one_object({SIGNS: SIGNS})
    bars.said(f"extract: {SIGNS}")
    cli.fail(SIGNS, 1)
    for error in (UsageError(SIGNS), failure("extract", f"ValueError: {SIGNS}")):
        assert STEERING.findall(str(error)) == []
        console.text(str(error))


def test_a_name_is_no_markdown() -> None:
    details = {"registered_model": "`**x**`<img>", "model_version": 1, "champion": True}
    said = verdict({**details, "val_bits_per_byte": 1.0}, f"/a`b``c`{SIGNS}/report.html")
    assert said.startswith("`` `**x**`<img> `` version 1")
    assert "```/a`b``c`" in said
    assert STEERING.findall(said.replace("\n", "")) == []
    assert code("a`") == "`` a` ``"
