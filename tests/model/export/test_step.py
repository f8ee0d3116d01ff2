"""Exported models, loaded by `transformers` as anybody would load them."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from infra.errors import UsageError
from infra.lake import Artifact, Lake
from infra.step import Task
from model.architectures import build_model, init_weights
from model.config import ExportParameters, ModelConfig
from model.export import exporter_for
from model.export.step import run
from model.generate import generate
from model.presets import llama_7b, shakespeare_char, tiny
from model.steps import EXPORT
from tests.model.artifacts import BYTES_VOCAB, Tokens, write_checkpoint

LLAMA = ModelConfig(
    context_tokens=64,
    layers=2,
    heads=4,
    kv_heads=2,
    width=32,
    ffn_width=48,
    qk_norm=False,
    tied=False,
    rope_theta=5e4,
)
QWEN3 = ModelConfig(context_tokens=64, layers=2, heads=4, width=32, ffn_width=48, init_std=0.1)


def checkpoint_of(lake: Lake, shape: ModelConfig) -> tuple[Artifact, torch.nn.Module]:
    """A checkpoints artifact with a model of random weights (gains included), and that model."""
    shape = shape.with_vocabulary(BYTES_VOCAB)
    model = build_model(shape)
    init_weights(model, shape, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(
                0.05
                * torch.randn(
                    parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())
                )
            )
    return write_checkpoint(lake, model, shape, {}, {}), model


def export_task(
    tokens: Tokens, checkpoint: Artifact, dtype: Literal["fp32", "bf16"] = "fp32"
) -> Task:
    """The export of `checkpoint` with the lake's tokenizer."""
    inputs = {"checkpoints": checkpoint, "tokenizer": tokens.tokenizer}
    return Task(EXPORT, tokens.lake, "default", ExportParameters(dtype=dtype), inputs)


def loaded(artifact: Artifact, **options: Any) -> Any:
    """The exported model as `transformers` has it."""
    return AutoModelForCausalLM.from_pretrained(artifact.uri, **options)


@pytest.mark.parametrize(
    ("shape", "architecture"),
    [(LLAMA, "LlamaForCausalLM"), (QWEN3, "Qwen3ForCausalLM")],
    ids=["llama-gqa-untied", "qwen3-tied"],
)
def test_transformers_computes_the_same_logits(
    tokens: Tokens, shape: ModelConfig, architecture: str
) -> None:
    checkpoint, model = checkpoint_of(tokens.lake, shape)
    task = export_task(tokens, checkpoint)
    manifest = run(task)
    theirs, report = loaded(task.artifact, output_loading_info=True)
    assert type(theirs).__name__ == architecture == manifest.details["architecture"]
    assert (
        not report["missing_keys"]
        and not report["unexpected_keys"]
        and not report["mismatched_keys"]
    )
    ids = torch.randint(BYTES_VOCAB, (2, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [LLAMA, QWEN3], ids=["llama", "qwen3"])
def test_the_exported_tokenizer_encodes_and_decodes_as_ours(
    tokens: Tokens, shape: ModelConfig
) -> None:
    checkpoint, _ = checkpoint_of(tokens.lake, shape)
    task = export_task(tokens, checkpoint)
    run(task)
    codec = AutoTokenizer.from_pretrained(task.artifact.uri)
    text = "plain , text — with 字 and\n\n  spaces ."
    assert len(codec(text).input_ids) == len(text.encode())
    assert codec.decode(codec(text).input_ids) == text
    assert codec.eos_token_id == 256


def test_the_exported_folder_generates_with_transformers_as_with_us(tokens: Tokens) -> None:
    checkpoint, model = checkpoint_of(tokens.lake, QWEN3)
    task = export_task(tokens, checkpoint)
    run(task)
    theirs = loaded(task.artifact)
    assert theirs.generation_config.eos_token_id == 256
    prompt = torch.tensor([72, 101, 108])
    ours = generate(model, prompt, 12, context_tokens=64, temperature=0)
    written = theirs.generate(
        prompt[None], max_new_tokens=12, do_sample=False, temperature=None, top_k=None
    )
    assert written[0].tolist() == ours.tolist()


def test_bf16_weights_are_written_as_bf16(tokens: Tokens) -> None:
    checkpoint, _ = checkpoint_of(tokens.lake, QWEN3)
    task = export_task(tokens, checkpoint, "bf16")
    run(task)
    assert loaded(task.artifact).dtype == torch.bfloat16


def test_llama_7b_has_the_names_and_shapes_of_transformers() -> None:
    shape = llama_7b().model
    with torch.device("meta"):
        ours = build_model(shape)
        theirs = LlamaForCausalLM(
            LlamaConfig(**{**LlamaConfig().to_dict(), **exporter_for(shape).config(shape)})
        )
    rename = exporter_for(shape).rename
    assert {rename(name): p.shape for name, p in ours.named_parameters()} == {
        name: p.shape for name, p in theirs.named_parameters()
    }
    assert sum(p.numel() for p in ours.parameters()) == 6_738_415_616


def test_the_demo_preset_can_be_exported() -> None:
    assert exporter_for(tiny().model).architecture == "Qwen3ForCausalLM"


def test_a_shape_without_a_released_class_is_refused_by_field_and_nothing_is_written(
    tokens: Tokens,
) -> None:
    with pytest.raises(UsageError, match=r"model\.ffn='relu2'"):
        exporter_for(shakespeare_char().model)
    checkpoint, _ = checkpoint_of(
        tokens.lake, ModelConfig(context_tokens=64, heads=2, width=32, ffn_width=48, conv_tokens=4)
    )
    task = export_task(tokens, checkpoint)
    with pytest.raises(UsageError, match=r"model\.conv_tokens=4"):
        run(task)
    assert not Path(task.artifact.uri).exists()
