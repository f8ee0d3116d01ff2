"""What goes wrong around a step is one line on the terminal: the cause, what to do, where the log
is. What was finished before stays, and the same command goes on from it."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.whole import DEADLINE_SECONDS, REPO

WORDS = [
    "mill",
    "grain",
    "flour",
    "stone",
    "water",
    "wheel",
    "river",
    "corn",
    "sack",
    "wind",
    "sail",
    "tower",
    "oven",
    "dough",
]
Disk = Callable[[str, int], Path]


class Called:
    """A finished call of the command."""

    def __init__(self, done: "subprocess.CompletedProcess[str]") -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def line(self) -> str:
        """The one line of a failure, which names a log that is there."""
        (line,) = self.err.strip().splitlines()
        assert line.startswith("error: ") and "Traceback" not in self.err + self.out
        for wrapper in ("ChildFailedError", "Py4JJavaError", "PythonException"):
            assert wrapper not in line
        return line

    @property
    def object(self) -> dict[str, Any]:
        """The one object that a call with --json printed; it must have succeeded."""
        assert self.code == 0, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found


def gristmill(
    *arguments: str, cwd: Path, prefix: tuple[str, ...] = (), **environment: str
) -> Called:
    """Call the command as a user does."""
    given = {**os.environ, "PYTHONPATH": str(REPO), "SPARK_MASTER": "local[2]", **environment}
    return Called(
        subprocess.run(
            [*prefix, sys.executable, "-m", "flows.command.cli", *arguments],
            cwd=cwd,
            env=given,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )
    )


def named_log(line: str, cwd: Path) -> str:
    """The text of the log that a line names."""
    found = re.search(r"\(log: (\S+)\)$", line)
    assert found, line
    return (cwd / found[1]).read_text()


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A crawl of documents of which no two are alike."""
    chance = random.Random(7)
    file = tmp_path / "crawl.jsonl"
    with file.open("w") as stream:
        for number in range(300):
            words = " ".join(f"{chance.choice(WORDS)}{chance.randrange(10**6)}" for _ in range(150))
            page = {"url": f"https://mill.example/{number}", "text": words}
            stream.write(json.dumps(page) + "\n")
    return file


def fill(disk: Path, left_bytes: int) -> Path:
    """A file that leaves so much room."""
    room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler = disk / "filler"
    filler.write_bytes(bytes(max(0, room - left_bytes)))
    return filler


def test_a_full_disk_is_one_line_in_extract_and_tokenize_and_what_is_finished_stays(
    tmp_path: Path, pages: Path, small_disk: Disk
) -> None:
    disk = small_disk("disk", 32 << 20)
    root = str(disk / "lake")
    given = ("--root", root, "--set", "tokenizer.vocab_size=512", "--json")
    for step in ("extract", "tokenize"):
        filler = fill(disk, 48 << 10)
        failed = gristmill(step, "--input", str(pages), *given, cwd=tmp_path)
        assert failed.code == 1
        assert "No space left on device" in failed.line
        assert "; free space there, or name another place" in failed.line
        assert "No space left" in named_log(failed.line, tmp_path)
        filler.unlink()
        wanted = "tokenizer" if step == "extract" else step
        made = gristmill(wanted, "--input", str(pages), *given, cwd=tmp_path).object
        assert made["rows_out"] == 300


def test_a_full_disk_under_sparks_shuffle_is_one_line(
    tmp_path: Path, pages: Path, small_disk: Disk
) -> None:
    disk = small_disk("shuffle", 1 << 20)
    fill(disk, 64 << 10)
    failed = gristmill("dedup", "--input", str(pages), cwd=tmp_path, SPARK_LOCAL_DIRS=str(disk))
    assert failed.code == 1
    assert "No space left on device" in failed.line
    assert "SPARK_LOCAL_DIRS" in failed.line


def test_a_lake_that_became_read_only_is_one_line(
    tmp_path: Path, pages: Path, small_disk: Disk
) -> None:
    disk = small_disk("disk", 8 << 20)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    failed = gristmill("extract", "--input", str(pages), "--root", f"{disk}/lake", cwd=tmp_path)
    assert failed.code == 2
    assert "Read-only file system" in failed.line


def test_an_input_that_this_user_may_not_read_is_one_line(tmp_path: Path, pages: Path) -> None:
    pages.chmod(0o000)
    # Root reads everything unless it gives up the right to.
    as_anybody = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("setpriv (util-linux) is not here: root cannot give up its rights")
    prefix = as_anybody if os.geteuid() == 0 else ()
    failed = gristmill("extract", "--input", str(pages), cwd=tmp_path, prefix=prefix)
    assert failed.code == 2
    assert str(pages) in failed.line
    assert "Permission denied" in failed.line


def test_a_missing_java_is_one_line(tmp_path: Path, pages: Path) -> None:
    failed = gristmill("extract", "--input", str(pages), cwd=tmp_path, JAVA_HOME="/nowhere")
    assert failed.code == 1
    assert "install Java 17 or newer" in failed.line
    assert "/nowhere" in named_log(failed.line, tmp_path)


def test_a_killed_jvm_is_one_line_and_the_same_command_goes_on(tmp_path: Path, pages: Path) -> None:
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.05):
            for process in psutil.Process().children(recursive=True):
                notes = (tmp_path / "lake").glob("documents/*/*/_work/*")
                if process.name() == "java" and any(notes):
                    process.kill()
                    return

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    failed = gristmill("extract", "--input", str(pages), cwd=tmp_path)
    ended.set()
    killer.join()
    assert failed.code == 1
    assert failed.line.startswith("error: extract: Spark's JVM was killed by SIGKILL; the kernel")
    named_log(failed.line, tmp_path)
    assert gristmill("extract", "--input", str(pages), cwd=tmp_path).code == 0


def test_a_store_that_nobody_serves_is_one_line(tmp_path: Path, pages: Path) -> None:
    nobody = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    lake = gristmill("ls", "--root", "s3://bucket/lake", cwd=tmp_path, **nobody, **keys)
    assert lake.code == 1
    assert "Could not connect to the endpoint" in lake.line
    assert "AWS_ENDPOINT_URL" in lake.line
    read = gristmill("extract", "--input", "s3://bucket/x", cwd=tmp_path, **nobody, **keys)
    assert read.code == 2
    assert "s3://bucket/x: cannot be read (Could not connect" in read.line


def test_a_bucket_that_is_not_there_is_one_line(
    tmp_path: Path, pages: Path, s3_endpoint: str
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    given = ("--input", str(pages), "--root", "s3://no-such-bucket/lake")
    failed = gristmill("extract", *given, cwd=tmp_path, AWS_ENDPOINT_URL=s3_endpoint, **keys)
    assert failed.code in (1, 2)
    assert "bucket" in failed.line


def test_damage_is_named_verified_repaired_and_built_again(tmp_path: Path, pages: Path) -> None:
    made = gristmill(
        "filter", "--input", str(pages), "--set", "filter.rules={}", "--json", cwd=tmp_path
    ).object
    before = gristmill("show", made["digest"], "--json", cwd=tmp_path).object["content"]
    (shard,) = (tmp_path / "lake/shards/extract").glob("*.parquet")
    data = shard.read_bytes()
    start, end = len(data) // 8, len(data) * 7 // 8
    shard.write_bytes(data[:start] + bytes(b ^ 0x5A for b in data[start:end]) + data[end:])

    assert gristmill("verify", cwd=tmp_path).code == 0
    failed = gristmill("tokenizer", "--input", "clean/default", cwd=tmp_path)
    assert failed.code == 1
    assert "`gristmill verify --hashes` names the damaged file" in failed.line
    found = gristmill("verify", "--hashes", cwd=tmp_path)
    assert found.code == 1
    assert shard.name in found.out
    assert "gristmill verify --hashes --repair" in found.line
    assert gristmill("verify", "--hashes", "--repair", cwd=tmp_path).code == 0
    again = gristmill(
        "filter", "--input", str(pages), "--set", "filter.rules={}", "--json", cwd=tmp_path
    ).object
    assert again["digest"] == made["digest"]
    after = gristmill("show", made["digest"], "--json", cwd=tmp_path).object["content"]
    assert after == before


def test_one_damaged_artifact_does_not_blind_the_lake_and_is_built_again(
    tmp_path: Path, pages: Path
) -> None:
    command = ("dedup", "--input", str(pages))
    made = gristmill(*command, "--json", cwd=tmp_path).object
    (shard,) = (tmp_path / "lake/shards/extract").glob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:-1])
    listed = gristmill("ls", "--json", cwd=tmp_path).object["artifacts"]
    assert {row["kind"]: bool(row["damaged"]) for row in listed} == {
        "documents": True,
        "dedup": True,
    }
    assert "damaged" in gristmill("ls", cwd=tmp_path).out
    lineage = gristmill("lineage", "dedup/default", "--json", cwd=tmp_path).object
    assert len(lineage["artifacts"]) == 2
    plan = gristmill("plan", "--input", str(pages), "--without", "filter", "--json", cwd=tmp_path)
    first = plan.object["steps"][0]
    assert (first["hit"], first["reason"].partition(":")[0]) == (False, "damaged")
    assert gristmill("gc", cwd=tmp_path).code == 0
    again = gristmill(*command, cwd=tmp_path)
    assert again.code == 0, again.err
    assert "extract: damaged, is made again: shards/extract/" in again.out
    assert made["digest"] in again.out
    assert gristmill("verify", "--hashes", cwd=tmp_path).code == 0


def test_a_step_alone_says_what_it_starts_from(tmp_path: Path, pages: Path) -> None:
    made = gristmill("extract", "--input", str(pages), "--json", cwd=tmp_path).object
    said = gristmill("tokenizer", "--vocab-size", "512", cwd=tmp_path)
    assert said.code == 0, said.err
    assert said.out.startswith(f"starts from documents/default/{made['digest']}, finished ")
    told = gristmill("tokenizer", "--vocab-size", "512", "--json", cwd=tmp_path).object
    assert told["starts_from"]["digest"] == made["digest"]
