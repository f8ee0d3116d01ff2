"""The command as a user calls it.

Help, one-line errors with exit code 2, JSON on standard output, nothing written on a wrong call.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[3]


def gristmill(
    *arguments: str, cwd: Path, spark: str = "local[2]"
) -> subprocess.CompletedProcess[str]:
    """Call the command in an empty directory."""
    environment = {**os.environ, "PYTHONPATH": str(REPO), "SPARK_MASTER": spark}
    command = [sys.executable, "-m", "flows.command.cli", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["extract"], "give --input"),
        (["extract", "--input", "nowhere/*.warc.gz"], "nowhere/*.warc.gz: no such file"),
        (["extract", "--input", "s4://bucket/x"], "nearest: 's3'"),
        (["extract", "--input", "x.html", "--root", "ftp://host/lake"], "unknown scheme 'ftp://'"),
        (["dedup", "--input", "x.html", "--tresh", "1"], "No such option"),
        (
            ["dedup", "--input", "x.html", "--threshold", "1.5"],
            "dedup.threshold: Input should be less than or equal to 1",
        ),
        (["dedup", "--input", "x.html", "--set", "dedup.tresh=1"], "nearest: 'threshold'"),
        (["train", "--input", "x.html", "--preset", "tini"], "nearest: 'tiny'"),
        (["show", "abcdef"], "no such artifact"),
        (["ls", "--kind", "documnts"], "nearest: 'documents'"),
        (["trian"], "No such command 'trian'"),
        (["run"], "give --input"),
        (["train", "--input", "x.html", "--set", "train.clip_norm=.inf"], "a finite number"),
        (["train", "--input", "x.html", "--set", "train.clip_norm=.nan"], "a finite number"),
        (["train", "--input", "x.html", "--set", "train.steps={"], "--set train.steps: while"),
        (["run", "--config", "x.html"], "x.html: expected `key: value` lines, got a str"),
        (["run", "--config", "."], "Is a directory"),
        (["run", "--config", "nowhere.yaml"], "nowhere.yaml: "),
        (["verify"], "no lake is here"),
        (["gc"], "no lake is here"),
        (
            ["filter", "--input", "x.html", "--set", 'filter.rules={"long": "n_wrds > 5"}'],
            "n_words",
        ),
    ],
)
def test_a_wrong_call_is_one_line_exit_code_2_and_writes_nothing(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "x.html").write_text(
        "<html><body><p>Some text that is long enough to be kept.</p></body></html>"
    )
    result = gristmill(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["x.html"]


@pytest.mark.parametrize("command", ["extract", "run"])
def test_a_local_lake_with_executors_elsewhere_is_refused_before_anything_starts(
    command: str, tmp_path: Path
) -> None:
    (tmp_path / "x.html").write_text("<p>grain</p>")
    result = gristmill(command, "--input", "x.html", "--json", cwd=tmp_path, spark="spark://x:7077")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: SPARK_MASTER=spark://x:7077")
    assert len(result.stderr.strip().splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["x.html"]


def test_a_lake_that_cannot_be_written_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    page.write_text("<p>grain</p>")
    os.utime(page, (0, 0))  # old enough for the lake to remember its hash
    result = gristmill("extract", "--input", "x.html", "--root", "/proc/lake", cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert result.stderr.strip().startswith("error: /proc/lake: cannot write there")
    assert "Traceback" not in result.stderr


def test_a_step_prints_exactly_one_json_object_and_a_second_call_is_a_hit(tmp_path: Path) -> None:
    page = (
        "<html><body><main><h1>Mill</h1><p>"
        + "The miller grinds the grain into flour, slowly. " * 20
        + "</p></main></body></html>"
    )
    (tmp_path / "x.html").write_text(page)
    first = gristmill("extract", "--input", "x.html", "--json", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    assert {
        "kind",
        "name",
        "digest",
        "path",
        "hit",
        "rows_in",
        "rows_out",
        "rejected",
        "seconds",
    } <= found.keys()
    assert (found["kind"], found["hit"], found["rows_in"], found["rows_out"]) == (
        "documents",
        False,
        1,
        1,
    )
    again = json.loads(gristmill("extract", "--input", "x.html", "--json", cwd=tmp_path).stdout)
    assert (again["hit"], again["digest"]) == (True, found["digest"])
    plan = json.loads(gristmill("plan", "--input", "x.html", "--json", cwd=tmp_path).stdout)[
        "steps"
    ]
    assert [line["hit"] for line in plan] == [True] + [False] * (len(plan) - 1)
    listed = json.loads(gristmill("ls", "--json", cwd=tmp_path).stdout)["artifacts"]
    assert [a["digest"] for a in listed] == [found["digest"]]
    lineage = json.loads(gristmill("lineage", found["digest"], "--json", cwd=tmp_path).stdout)
    assert lineage["crawl"][0]["uri"].endswith("x.html")


def test_the_version_names_python_and_the_revision_of_a_checkout(tmp_path: Path) -> None:
    said = gristmill("--version", cwd=tmp_path)
    python = ".".join(map(str, sys.version_info[:3]))
    revision = r", revision [0-9a-f]{12}\+?" if (REPO / ".git").exists() else ""
    assert re.fullmatch(rf"gristmill \d+\.\d+\.\d+ \(Python {python}{revision}\)\n", said.stdout)
    assert (said.returncode, said.stderr) == (0, "")
