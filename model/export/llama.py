"""Llama (Touvron et al. 2023, arXiv:2302.13971) as `transformers` has it.

SwiGLU, RMSNorm, rotary halves, grouped queries, no QK-norm.
"""

from typing import Any

from model.config import ModelConfig
from model.export.exporter import Exporter

PARTS = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
}
ROOT = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}


def objection(config: ModelConfig) -> str | None:
    """What keeps a config from being a Llama."""
    return shared_objection(config) or (
        "model.qk_norm=true: Llama has no norm of queries and keys" if config.qk_norm else None
    )


def shared_objection(config: ModelConfig) -> str | None:
    """What neither Llama nor Qwen3 has."""
    if config.architecture != "decoder":
        return f"model.architecture='{config.architecture}': only decoders have a released class"
    if config.ffn != "swiglu":
        return f"model.ffn='{config.ffn}': released classes with this shape have SwiGLU alone"
    if config.conv_tokens:
        return (
            f"model.conv_tokens={config.conv_tokens}: released classes have no convolution in"
            " their blocks"
        )
    return None


def config(shape: ModelConfig) -> dict[str, Any]:
    """config.json of LlamaForCausalLM."""
    return {
        "model_type": "llama",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.width,
        "intermediate_size": shape.ffn_width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.head_width,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context_tokens,
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": shape.tied,
        "initializer_range": shape.init_std,
        "attention_bias": False,
        "attention_dropout": 0.0,
    }


def rename(name: str) -> str:
    """`blocks.3.attention.query.weight` -> `model.layers.3.self_attn.q_proj.weight`.

    Raises KeyError for a weight without a place.
    """
    if not name.startswith("blocks."):
        return ROOT[name]
    _, number, rest = name.split(".", 2)
    part, leaf = rest.rsplit(".", 1)
    return f"model.layers.{number}.{PARTS[part]}.{leaf}"


LLAMA = Exporter("LlamaForCausalLM", objection, config, rename)
