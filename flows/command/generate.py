"""Continue a text: a child process with torch, told what to do by a file and answering with one
event."""

import json
import sys
import tempfile
from pathlib import Path

from flows.running.children import Follow, code_path, log_file, threads
from infra.errors import GristmillError
from infra.lake import Artifact
from infra.process import run


def continue_text(
    checkpoint: Artifact,
    prompt: str,
    max_tokens: int,
    temperature: float,
    top_k: int,
    seed: int,
    follow: Follow,
) -> str:
    """The continuation of `prompt` by the model of a checkpoints artifact. Raises GristmillError
    when the child fails."""
    request = {
        "checkpoint": [checkpoint.lake_root, checkpoint.kind, checkpoint.name, checkpoint.digest],
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "seed": seed,
    }
    follow({"event": "started", "step": "generate"})
    with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
        path = Path(folder, "generate.json")
        path.write_text(json.dumps(request))
        for event in run(
            [sys.executable, "-m", "model.generate", str(path)],
            log_file("generate"),
            "generate",
            {**code_path(), **threads()},
        ):
            follow(event)
            if event["event"] == "generated":
                return str(event["text"])
    raise GristmillError("generate: the model gave no answer; see the log")
