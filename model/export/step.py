"""Write a trained model so that `transformers` (AutoModelForCausalLM, AutoTokenizer) loads it with
the same logits. Step `export`.

In: checkpoints (its final model), tokenizer. Out: model.safetensors, config.json,
generation_config.json, tokenizer.json, tokenizer_config.json; and MLmodel, by which MLflow loads
the same folder (`model.export.mlflow_model`). Raises UsageError, before anything is written, when
no released class can express the model's shape.

    python -m model.export.step TASK.json
"""

import json
from collections.abc import Iterator
from typing import Any

import torch

from infra import storage
from infra.manifest import Counts, Manifest
from infra.process import emit
from infra.step import Task
from model.architectures import parameter_count
from model.checkpoint.final import read_model
from model.checkpoint.tensors import write_tensors
from model.config import ExportParameters
from model.export import exporter_for
from model.export.mlflow_model import MLMODEL, SAMPLING, TOKENIZER_FOLDER, mlmodel
from model.runtime import main
from model.steps import EXPORT as STEP

DTYPES = {"fp32": ("float32", torch.float32), "bf16": ("bfloat16", torch.bfloat16)}


def run(task: Task) -> Manifest:
    """The finished models artifact."""
    parameters: ExportParameters = task.parameters
    model, shape = read_model(task.inputs["checkpoints"])
    exporter = exporter_for(shape)
    dtype_name, dtype = DTYPES[parameters.dtype]
    tokenizer = storage.read_bytes(task.inputs["tokenizer"].file("tokenizer.json"))
    eos_id = int(
        json.loads(storage.read_bytes(task.inputs["tokenizer"].file("config.json")))["eos_id"]
    )
    ends = (
        {"bos_token_id": eos_id, "eos_token_id": eos_id}
        if eos_id >= 0
        else {"bos_token_id": None, "eos_token_id": None}
    )

    with task.lake.begin(task.identity, task.name) as writer:
        weights = [
            (exporter.rename(name), parameter.detach())
            for name, parameter in model.named_parameters()
        ]
        with storage.open_write(writer.file("model.safetensors")) as stream:
            write_tensors(
                stream,
                [(name, dtype, tuple(w.shape)) for name, w in weights],
                (w.to(dtype) for _, w in told(weights)),
            )
        config = {
            "architectures": [exporter.architecture],
            **exporter.config(shape),
            **ends,
            "torch_dtype": dtype_name,
        }
        codec = tokenizer_config(json.loads(tokenizer), eos_id, shape.context_tokens)
        generation = {**ends, **SAMPLING}
        files = {
            "config.json": json_lines(config),
            "generation_config.json": json_lines(generation),
            MLMODEL: mlmodel(exporter.architecture, dtype_name),
        }
        for folder in ("", f"{TOKENIZER_FOLDER}/"):
            files[f"{folder}tokenizer_config.json"] = json_lines(codec)
            files[f"{folder}tokenizer.json"] = tokenizer
        for name, content in files.items():
            storage.write_bytes(writer.file(name), content)
        count = parameter_count(model)
        return writer.commit(
            Counts(),
            details={
                "architecture": exporter.architecture,
                "parameters": count,
                "dtype": dtype_name,
            },
        )


def told(weights: list[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    """These weights, telling the owner how many have gone through."""
    for number, weight in enumerate(weights):
        emit("progress", step=STEP.name, done=number, total=len(weights), unit="tensors")
        yield weight


def json_lines(value: dict[str, Any]) -> bytes:
    """A JSON file as `transformers` writes one."""
    return (json.dumps(value, indent=2) + "\n").encode()


def tokenizer_config(tokenizer: dict[str, Any], eos_id: int, context_tokens: int) -> dict[str, Any]:
    """tokenizer_config.json for a tokenizer.json's content.

    Text goes in and out unchanged; the end-of-text token is given by its name.
    """
    names = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    names |= {
        number: name for name, number in tokenizer["model"]["vocab"].items() if number == eos_id
    }
    ends = {"bos_token": names[eos_id], "eos_token": names[eos_id]} if eos_id >= 0 else {}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_tokens,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        **ends,
    }


if __name__ == "__main__":
    main(STEP, run)
