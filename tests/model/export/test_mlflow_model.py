"""An exported folder as a model of MLflow's: the champion answers in a process that knows MLflow
and transformers alone, with the text that we would write."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from infra import storage, tracking
from infra.lake import Artifact, Lake
from infra.manifest import Counts, Identity
from infra.settings import settings
from infra.step import Task
from jobs.tokens.vocabulary import bytes_tokenizer, chars_tokenizer, end_of_text, train_bpe
from model.architectures import build_model, init_weights
from model.config import ExportParameters, ModelConfig
from model.export.step import run
from model.generate import continue_text
from model.steps import EXPORT
from tests.model.artifacts import full, write_checkpoint

TEXTS = ["the mill grinds\nthe grist , the miller rests . ", "a grindstone — ein Mühlstein ."]
TOKENIZERS = {
    "bytes": bytes_tokenizer(),
    "chars": chars_tokenizer("".join(TEXTS)),
    "bpe": train_bpe(TEXTS, 280),
}
QWEN3 = ModelConfig(context_tokens=64, layers=2, heads=4, width=32, ffn_width=48, init_std=0.3)
LLAMA = ModelConfig(
    context_tokens=64,
    layers=2,
    heads=4,
    width=32,
    ffn_width=48,
    qk_norm=False,
    tied=False,
    init_std=0.3,
)
PROMPT = "the mill"
TOKENS = 16
STRANGER = f"""
import json, sys
import mlflow

answers = {{}}
for name in sys.argv[1:]:
    uri = f"models:/{{name}}@champion"
    loaded = mlflow.pyfunc.load_model(uri)
    greedy = {{"do_sample": False, "max_new_tokens": {TOKENS}}}
    answers[name] = loaded.predict([{PROMPT!r}], params=greedy)
    answers[name] += loaded.predict([{PROMPT!r}])
    pipeline = mlflow.transformers.load_model(uri)
    answers[name] += [pipeline({PROMPT!r}, **greedy)[0]["generated_text"]]
ours = {{"flows", "jobs", "model", "infra"}} & {{each.partition(".")[0] for each in sys.modules}}
assert not ours, ours
print(json.dumps(answers))
"""


def write_tokenizer(lake: Lake, kind: str) -> Artifact:
    """A tokenizer of one of the three kinds, as the step writes it."""
    tokenizer: Tokenizer = TOKENIZERS[kind]
    config = {
        "type": kind,
        "vocab_size": tokenizer.get_vocab_size(),
        "eos_id": end_of_text(tokenizer),
    }
    writer = lake.begin(Identity("tokenizer", "tokenizer", 1, {"type": kind}, {}))
    storage.write_bytes(writer.file("tokenizer.json"), tokenizer.to_str().encode())
    storage.write_bytes(writer.file("config.json"), json.dumps(config).encode())
    writer.commit(Counts(), details=config)
    return full(writer.artifact)


def exported(lake: Lake, kind: str, shape: ModelConfig) -> tuple[Artifact, str]:
    """A model of random weights with such a tokenizer, and what it writes after PROMPT."""
    tokenizer = write_tokenizer(lake, kind)
    shape = shape.with_vocabulary(TOKENIZERS[kind].get_vocab_size())
    model = build_model(shape)
    init_weights(model, shape, seed=7)
    with torch.no_grad():
        for parameter in model.parameters():
            size = torch.Generator().manual_seed(parameter.numel())
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=size))
    checkpoint = full(write_checkpoint(lake, model, shape, {"tokenizer": tokenizer.digest}, {}))
    inputs = {"checkpoints": checkpoint, "tokenizer": tokenizer}
    task = Task(EXPORT, lake, "default", ExportParameters(), inputs)
    run(task)
    text = continue_text(
        model.eval(), tokenizer, PROMPT, TOKENS, context_tokens=64, temperature=0, top_k=0, seed=0
    )
    assert text.strip()
    return full(task.artifact), PROMPT + text


def promoted(lake: Lake, name: str, model: Artifact) -> None:
    """The registry's champion of that name."""
    version = tracking.register_model(
        lake.root, name, model.uri, model.digest, "", {tracking.SCORE: 1.0}
    )
    tracking.promote(lake.root, name, version)


def answers(lake: Lake, names: list[str], folder: Path) -> dict[str, list[str]]:
    """What a stranger's process gets of each champion."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking.uri_for(lake.root)}
    said = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, *names],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    found: dict[str, list[str]] = json.loads(said.stdout.splitlines()[-1])
    return found


@pytest.fixture(autouse=True)
def the_lakes_own_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server from the environment."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings.cache_clear()


def test_the_champion_answers_a_stranger_as_it_answers_us(lake: Lake, tmp_path: Path) -> None:
    expected = {}
    for kind, shape in (("bytes", QWEN3), ("chars", LLAMA), ("bpe", QWEN3)):
        model, expected[kind] = exported(lake, kind, shape)
        promoted(lake, kind, model)
    for kind, (greedy, sampled, pipelined) in answers(lake, list(expected), tmp_path).items():
        assert greedy == pipelined == expected[kind]
        assert sampled.startswith(PROMPT) and len(sampled) > len(PROMPT)
    assert not list(Path(lake.root, "mlflow").rglob("*.safetensors")), "no copy of the weights"


def test_the_champion_of_a_lake_on_s3_loads_from_there(
    s3_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_LOGS", str(tmp_path / "logs"))
    settings.cache_clear()
    lake = Lake.at(s3_root)
    model, expected = exported(lake, "bytes", QWEN3)
    promoted(lake, "remote", model)
    greedy, _, pipelined = answers(lake, ["remote"], tmp_path)["remote"]
    assert greedy == pipelined == expected


def test_equal_models_are_exported_to_equal_bytes(tmp_path: Path) -> None:
    lakes = [Lake.at(str(tmp_path / name)) for name in ("one", "two")]
    contents = {exported(each, "bytes", LLAMA)[0].require().content for each in lakes}
    assert len(contents) == 1
