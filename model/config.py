"""What a training run is, as data: the shape of the model, its optimizer, the run. No torch here.

A preset (`model.presets`) is a function that returns one `TrainParameters`; the command line, YAML
and the form change its fields. `vocab_size=0` stands for the vocabulary of the tokens artifact
(`with_vocabulary` fills it in).
"""

import dataclasses
from typing import Literal

from infra.errors import UsageError
from infra.parameters import option, parameters

MUON = "Jordan et al. 2024, kellerjordan.github.io/posts/muon"
ADAMW = "Kingma and Ba 2014, arXiv:1412.6980, algorithm 1"
DECAY = "Loshchilov and Hutter 2017, arXiv:1711.05101, algorithm 2"
SCHEDULES = (
    "Loshchilov and Hutter 2016, arXiv:1608.03983; Hu et al. 2024, arXiv:2404.06395, section 4;"
    " Defazio et al. 2023, arXiv:2310.07831"
)


@parameters
class ModelConfig:
    """The shape of a decoder-only transformer: pre-norm, RMSNorm, rotary positions, no biases.

    Off by default, and without a released class to export to: `conv_tokens`, and `ffn="relu2"`.
    """

    architecture: Literal["decoder"] = option(
        "decoder", "name in model.architectures.ARCHITECTURES"
    )
    vocab_size: int = option(
        0, "token types; 0: taken from the tokens artifact", unit="tokens", ge=0
    )
    context_tokens: int = option(256, "longest sequence it is trained on", unit="tokens", ge=1)
    layers: int = option(4, "transformer blocks", ge=1)
    heads: int = option(4, "attention heads", ge=1)
    kv_heads: int = option(
        0,
        "heads of keys and values (grouped queries); 0: as many as heads",
        source="Ainslie et al. 2023, arXiv:2305.13245",
        ge=0,
    )
    width: int = option(128, "width of the residual stream", ge=2)
    ffn_width: int = option(352, "inner width of the feed-forward layer", ge=1)
    ffn: Literal["swiglu", "relu2"] = option(
        "swiglu",
        "feed-forward: SwiGLU or squared ReLU",
        source="Shazeer 2020, arXiv:2002.05202; So et al. 2021, arXiv:2109.08668",
    )
    qk_norm: bool = option(
        True,
        "RMSNorm over each head of queries and keys",
        source="Dehghani et al. 2023, arXiv:2302.05442, section 2",
    )
    tied: bool = option(
        True,
        "output head shares the embedding's weight",
        source="Press and Wolf 2016, arXiv:1608.05859",
    )
    rope_theta: float = option(
        10000.0, "base of the rotary angles", source="Su et al. 2021, arXiv:2104.09864", gt=0
    )
    norm_eps: float = option(
        1e-6,
        "epsilon of every RMSNorm",
        source="Zhang and Sennrich 2019, arXiv:1910.07467",
        gt=0,
    )
    conv_tokens: int = option(
        0,
        "causal depthwise convolution before attention and feed-forward (Canon layers); 0: none",
        unit="tokens",
        source="Allen-Zhu 2025, Physics of Language Models 4.1, section 3",
        ge=0,
    )
    init_std: float = option(
        0.02,
        "standard deviation of initial weights; outputs of a block by 1/sqrt(2 layers) of it",
        gt=0,
    )

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise UsageError(
                f"model.width: {self.width} must be heads ({self.heads}) times an even number;"
                " change width or heads"
            )
        if self.heads % (self.kv_heads or self.heads):
            raise UsageError(
                f"model.kv_heads: {self.kv_heads} must divide heads ({self.heads});"
                " change one of them"
            )

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    @property
    def key_value_heads(self) -> int:
        """`kv_heads` with 0 resolved."""
        return self.kv_heads or self.heads

    def with_vocabulary(self, size: int) -> "ModelConfig":
        """This shape for a vocabulary of `size`.

        Raises UsageError where the config names another size that is too small.
        """
        if self.vocab_size and self.vocab_size < size:
            raise UsageError(
                f"model.vocab_size: {self.vocab_size} is below the tokens' vocabulary of {size};"
                " set it to 0"
            )
        return dataclasses.replace(self, vocab_size=self.vocab_size or size)


@parameters
class OptimizerParameters:
    """Muon for the matrices inside the blocks, AdamW for all else; one schedule for both."""

    muon_lr: float = option(
        0.02, "peak learning rate of Muon (an update has spectral norm about 1)", source=MUON, gt=0
    )
    muon_momentum: float = option(0.95, "Nesterov momentum of Muon", source=MUON, ge=0, lt=1)
    muon_iterations: int = option(5, "Newton-Schulz iterations", source=MUON, ge=1)
    adamw_lr: float = option(3e-3, "peak learning rate of AdamW", source=DECAY, gt=0)
    head_lr: float = option(0.0, "peak learning rate of an untied output head; 0: adamw_lr", ge=0)
    beta1: float = option(0.9, "AdamW: decay of the mean", source=ADAMW, ge=0, lt=1)
    beta2: float = option(0.95, "AdamW: decay of the mean square", source=ADAMW, ge=0, lt=1)
    adamw_eps: float = option(1e-10, "AdamW: epsilon", source=ADAMW, gt=0)
    weight_decay: float = option(0.0, "decoupled weight decay of all matrices", source=DECAY, ge=0)
    schedule: Literal["cosine", "wsd", "linear"] = option(
        "wsd",
        "learning rate over the steps: cosine, warm-up-stable-decay or linear",
        source=SCHEDULES,
    )
    warmup_steps: int = option(0, "linear warm-up", unit="steps", ge=0)
    decay_fraction: float = option(
        0.4,
        "wsd: last part of the steps in which the rate falls",
        source="Hu et al. 2024, arXiv:2404.06395, section 4",
        ge=0,
        le=1,
    )
    final_lr_fraction: float = option(
        0.0, "rate after the last step, as a fraction of the peak", ge=0, le=1
    )


@parameters
class TrainParameters:
    """Everything that defines a training run besides its tokens."""

    model: ModelConfig = option(ModelConfig, "shape of the model")
    optimizer: OptimizerParameters = option(OptimizerParameters, "optimizer and schedule")
    objective: Literal["causal"] = option("causal", "name in model.objectives.OBJECTIVES")
    steps: int = option(1000, "optimizer steps", unit="steps", ge=1)
    global_batch_sequences: int = option(
        32, "sequences of context_tokens in one step, over all processes", unit="sequences", ge=1
    )
    micro_batch_sequences: int = option(
        16, "sequences a process computes at once", unit="sequences", identity=False, ge=1
    )
    clip_norm: float = option(
        1.0,
        "largest norm of the whole gradient; 0: no clipping",
        source="Pascanu et al. 2012, arXiv:1211.5063, algorithm 1",
        ge=0,
    )
    precision: Literal["fp32", "bf16"] = option(
        "fp32",
        "compute in fp32, or in bf16 with fp32 weights, gradients and optimizer",
        source="Micikevicius et al. 2017, arXiv:1710.03740, section 3.1",
    )
    seed: int = option(1, "seed of initial weights and data order", ge=0)
    validate_every_steps: int = option(
        100, "steps between validations; the last step is always validated", unit="steps", ge=1
    )
    validate_tokens: int = option(
        0, "validation tokens at most, from the start of the split; 0: all", unit="tokens", ge=0
    )
    patience: int = option(
        0,
        "stop after that many validations without a better loss; 0: never",
        unit="validations",
        ge=0,
    )
    final_weights: Literal["auto", "last", "best"] = option(
        "auto", "weights of the final model; auto: best after early stopping, else last"
    )
    checkpoint_every_steps: int = option(
        200, "steps between checkpoints", unit="steps", identity=False, ge=1
    )
    keep_checkpoints: int = option(
        2, "newest checkpoints kept besides the best", identity=False, ge=1
    )
    processes: int = option(
        1, "training processes (torchrun)", unit="processes", identity=False, ge=1
    )

    @property
    def global_batch_tokens(self) -> int:
        """Predicted tokens in one step."""
        return self.global_batch_sequences * self.model.context_tokens


@parameters
class EvaluateParameters:
    """What is measured on a trained model, and how much it writes for a reader."""

    validate_tokens: int = option(
        0, "validation tokens at most, from the start of the split; 0: all", unit="tokens", ge=0
    )
    batch_sequences: int = option(
        32, "sequences computed at once", unit="sequences", identity=False, ge=1
    )
    prompts: list[str] = option(
        lambda: ["", "The ", "In this "],
        "beginnings that the model continues; empty: from the end-of-text token",
    )
    sample_tokens: int = option(120, "tokens written after each prompt", unit="tokens", ge=0)
    temperature: float = option(0.8, "sampling temperature; 0: always the likeliest token", ge=0)
    top_k: int = option(
        50,
        "sample among that many likeliest tokens; 0: all",
        unit="tokens",
        source="Fan et al. 2018, arXiv:1805.04833, section 5.3",
        ge=0,
    )
    seed: int = option(1, "seed of the sampling", ge=0)


@parameters
class ExportParameters:
    """How a model is written for other tools."""

    dtype: Literal["fp32", "bf16"] = option("fp32", "type of the written weights")
