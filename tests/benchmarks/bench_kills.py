"""Random kill -9 over a small run, until it is done: equal content in the end, and no orphan.

    python -m tests.benchmarks.bench_kills [KILLS] [FOLDER] [SEED]

One crawl of the sample, one undisturbed run of all nine steps (two ranks, an executor apart), then
the same run in a fresh lake: at random moments a random process of its tree is killed, of a role
that is drawn first (flow, server, driver, jvm, executor, worker, launcher, rank, step), so that the
rare ones come up too, until the command has ended; what it leaves behind counts as an orphan. Then
the command is called again, and goes on from what is finished. Each time the run is done, its
artifacts are compared with those of the undisturbed one (content hashes, the weights' hash, the
scores), the lake is removed and the run begins anew, until KILLS have been made. Exit code 1 where
anything differs, is left behind, or fails without a line of ours or with a traceback.
"""

import contextlib
import dataclasses
import os
import random
import shutil
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import yaml

from flows.chain.chain import chain
from flows.chain.parameters import parse
from flows.command.demo import sample_task
from flows.running.children import Children
from infra.manifest import Manifest
from tests.e2e.whole import REPO, parameters

MARK = "GRISTMILL_KILLS"
"""Environment variable that every process of a run inherits."""
PAGES = 40
LEAVING_SECONDS = 30.0
"""So long a child may take to notice that its owner is gone."""
BETWEEN_SECONDS = 40.0
"""At most between two kills: longer than the longest step takes with its start."""
LOOK_SECONDS = 0.2
ROLES = {
    "flows.running.server": "server",
    "jobs.spark.driver": "driver",
    "CoarseGrainedExecutorBackend": "executor",
    "org.apache.spark": "jvm",
    "pyspark.daemon": "worker",
    "model.launch": "launcher",
    "model.train": "rank",
    "model.": "step",
}


@dataclasses.dataclass
class Tally:
    """What happened."""

    kills: Counter[str] = dataclasses.field(default_factory=Counter)
    ends: Counter[str] = dataclasses.field(default_factory=Counter)
    orphans: int = 0
    lines: list[str] = dataclasses.field(default_factory=list)
    differing: list[str] = dataclasses.field(default_factory=list)
    finished: int = 0


class Run:
    """The command, called with a mark in its environment."""

    def __init__(self, values: dict[str, Any], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "run.yaml"
        config.write_text(yaml.safe_dump(values))
        self.mark = uuid.uuid4().hex
        self.said = folder / "said.txt"
        environment = {
            **os.environ,
            MARK: self.mark,
            "PYTHONPATH": str(REPO),
            "GRISTMILL_LOGS": str(folder / "logs"),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": "",
            "SPARK_MASTER": "local-cluster[1,2,1024]",
            "GRISTMILL_DRIVER_MEMORY": "1g",
        }
        with self.said.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.command.cli", "run", "--json", "--config", config],
                env=environment,
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )

    def tree(self) -> list[psutil.Process]:
        """All living processes with the mark, the command among them."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def end(self) -> int:
        """The exit code."""
        return self.process.wait()

    def orphans(self) -> int:
        """How many processes are left although they had time; they are killed."""
        _, left = psutil.wait_procs(self.tree(), timeout=LEAVING_SECONDS)
        for process in left:
            process.kill()
        return len(left)


def say(line: str) -> None:
    """Print a line now."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def role(process: psutil.Process, root: int) -> str:
    """What a process of the tree is; empty for one that has ended or only starts another."""
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return ""
    if process.pid == root:
        return "flow"
    return next((name for sign, name in ROLES.items() if sign in words), "")


def kill_one(run: Run, chance: random.Random) -> str:
    """Wait a random time of at most BETWEEN_SECONDS, then kill a process of a random role; the
    role, empty where the run has ended. While the flow only begins nothing is killed: it would
    never come to its work."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.process.wait(chance.uniform(0.0, BETWEEN_SECONDS))
    while run.process.poll() is None:
        roles: dict[str, list[psutil.Process]] = {}
        for process in run.tree():
            roles.setdefault(role(process, run.process.pid), []).append(process)
        roles.pop("", None)
        if roles.keys() - {"flow", "server"}:
            chosen = chance.choice(sorted(roles))
            with contextlib.suppress(psutil.NoSuchProcess):
                chance.choice(roles[chosen]).kill()
                return chosen
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(LOOK_SECONDS)
    return ""


def kill_until_the_end(run: Run, chance: random.Random, kills: int) -> list[str]:
    """Kill one after the other, at most so many, while the command lives: it tries steps again. The
    roles."""
    killed: list[str] = []
    while len(killed) < kills and run.process.poll() is None:
        killed += filter(None, [kill_one(run, chance)])
    return killed


def result(values: dict[str, Any]) -> dict[str, Any]:
    """What must be equal: step -> content, weights or scores."""
    found: dict[str, Manifest] = {
        task.step.name: task.artifact.require() for task in chain(parse(values))
    }
    equal: dict[str, Any] = {
        step: found[step].content
        for step in ("extract", "filter", "dedup", "tokenizer", "tokenize", "export")
    }
    weights = next(f for f in found["train"].files if f.path.endswith("/model.safetensors"))
    scores = found["evaluate"].details
    return equal | {
        "train": weights.sha256,
        "evaluate": [scores["val_loss"], scores["val_bits_per_byte"]],
    }


def disturbed(values: dict[str, Any], folder: Path, kills: int, chance: random.Random) -> Tally:
    """Kill so often; after the last kill the run is led to its end."""
    tally = Tally()
    expected = result({**values, "root": str(folder / "whole" / "lake")})
    mine = {**values, "root": str(folder / "killed" / "lake")}
    while True:
        run = Run(mine, folder / "killed")
        wanted = kills - tally.kills.total()
        killed = kill_until_the_end(run, chance, wanted)
        tally.kills.update(killed)
        code = run.end()
        tally.orphans += run.orphans()
        said = run.said.read_text().strip()
        tally.ends.update([f"exit code {code}"])
        ours = any(line.startswith("error: ") for line in said.splitlines())
        if "Traceback" in said or (code not in (0, -9) and not ours):
            tally.lines.append(f"{killed}: {said[-600:]}")
        say(f"{tally.kills.total():4} {' '.join(killed) or '-'}: {code}  {said[-160:]}")
        if code == 0:
            tally.finished += 1
            got = result(mine)
            tally.differing += [step for step in expected if got[step] != expected[step]]
            if wanted <= 0:
                return tally
            shutil.rmtree(mine["root"])


def main() -> None:
    """Measure and print."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "build/kills").absolute()
    chance = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 7)
    shutil.rmtree(folder, ignore_errors=True)
    task = sample_task(str(folder / "crawl"), "small", {"pages": PAGES})
    with Children(task.lake.root) as children:
        crawl = children.make(task).task.artifact.data_uris()
    values = parameters("", crawl)
    values["train"]["processes"] = 2
    began = time.monotonic()
    whole = Run({**values, "root": str(folder / "whole" / "lake")}, folder / "whole")
    assert whole.end() == 0, whole.said.read_text()
    seconds = time.monotonic() - began
    say(f"undisturbed: {seconds:.0f} s, {whole.orphans()} orphans")
    began = time.monotonic()
    tally = disturbed(values, folder, kills, chance)
    by_role = ", ".join(f"{name} {count}" for name, count in sorted(tally.kills.items()))
    minutes = (time.monotonic() - began) / 60
    say(f"{tally.kills.total()} kills in {minutes:.1f} min: {by_role}")
    for end, count in sorted(tally.ends.items()):
        say(f"  {end}: {count}")
    say(f"{tally.finished} runs done, {len(tally.differing)} differing {tally.differing}")
    say(f"{tally.orphans} orphans, {len(tally.lines)} failures without a line of their own")
    for line in tally.lines:
        say(f"  {line}")
    sys.exit(1 if tally.orphans or tally.differing or tally.lines else 0)


if __name__ == "__main__":
    main()
