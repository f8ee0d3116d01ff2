"""How the end-to-end tests run the whole chain: in a process of its own, on a small crawl of local
documentation."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from flows.chain.chain import chain
from flows.chain.parameters import PipelineParameters, parse
from flows.running.children import Children
from infra.manifest import Manifest

DEADLINE_SECONDS = 300
REPO = Path(__file__).parents[2]


def parameters(root: str, crawl: list[str]) -> dict[str, Any]:
    """A run small enough to be killed nine times."""
    train = {
        "steps": 12,
        "global_batch_sequences": 4,
        "micro_batch_sequences": 2,
        "validate_every_steps": 6,
        "checkpoint_every_steps": 4,
        "model": {"layers": 2, "heads": 2, "width": 32, "ffn_width": 64, "context_tokens": 64},
    }
    return {
        "input": crawl,
        "root": root,
        "tokenizer": {"vocab_size": 512},
        "tokenize": {"val_fraction": 0.2},
        "filter": {"rules": {}},
        "train": train,
    }


def start(
    values: dict[str, Any], logs: Path, goal: str = "report", master: str = "local[2]"
) -> subprocess.Popen[bytes]:
    """The run up to the step `goal`, in a process of its own."""
    environment = {
        **os.environ,
        "GRISTMILL_LOGS": str(logs),
        "SPARK_MASTER": master,
        "PYTHONPATH": str(REPO),
    }
    return subprocess.Popen(
        [sys.executable, __file__, goal, json.dumps(values)],
        stdout=subprocess.PIPE,
        env=environment,
    )


def printed(arguments: list[str], folder: Path, **environment: str) -> str:
    """What Python prints, called in `folder` with these arguments and variables beside the test's
    own; it must succeed."""
    made = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


def finish(
    values: dict[str, Any], logs: Path, goal: str = "report", master: str = "local[2]"
) -> list[bool]:
    """Run to the end; which steps were hits."""
    process = start(values, logs, goal, master)
    output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0
    hits: list[bool] = json.loads(output.splitlines()[-1])
    return hits


def manifests(values: dict[str, Any], goal: str = "report") -> dict[str, Manifest]:
    """Step -> manifest of a finished run."""
    found: PipelineParameters = parse(values)
    return {task.step.name: task.artifact.require() for task in chain(found, goal)}


def main() -> None:
    """In the process of its own: run every step, print which were hits."""
    tasks = chain(parse(json.loads(sys.argv[2])), sys.argv[1])
    with Children(tasks[0].lake.root) as children:
        sys.stdout.write(json.dumps([children.make(task).hit for task in tasks]) + "\n")


if __name__ == "__main__":
    main()
