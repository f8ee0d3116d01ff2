"""Qwen3 (Yang et al. 2025, arXiv:2505.09388) as `transformers` has it.

Llama's shape with an RMSNorm over each head of queries and keys.
"""

from typing import Any

from model.config import ModelConfig
from model.export import llama
from model.export.exporter import Exporter


def objection(config: ModelConfig) -> str | None:
    """What keeps a config from being a Qwen3."""
    return llama.shared_objection(config) or (
        None if config.qk_norm else "model.qk_norm=false: Qwen3 always norms queries and keys"
    )


def config(shape: ModelConfig) -> dict[str, Any]:
    """config.json of Qwen3ForCausalLM."""
    return {**llama.config(shape), "model_type": "qwen3", "use_sliding_window": False}


QWEN3 = Exporter("Qwen3ForCausalLM", objection, config, llama.rename)
