"""The steps that run on torch, declared without importing it, in the order of the pipeline. A new
one is a module with `run`, and one declaration here."""

from infra.step import Launch, Rate, Step
from model.config import EvaluateParameters, ExportParameters, TrainParameters

TRAIN = Step(
    name="train",
    kind="checkpoints",
    version=1,
    help="Train a model with torchrun and FSDP2; resumes from its newest checkpoint.",
    parameters=TrainParameters,
    reads=("tokens", "tokenizer"),
    module="model.train",
    launch=Launch.TORCHRUN,
    rate=Rate(0.2, "step"),
    libraries=("torch",),
)
EVALUATE = Step(
    name="evaluate",
    kind="scores",
    version=1,
    help="Loss, perplexity and bits per byte on the validation split, per source; samples.",
    parameters=EvaluateParameters,
    reads=("checkpoints", "tokens", "tokenizer"),
    module="model.evaluate",
    launch=Launch.CHILD,
    rate=Rate(20.0, "run"),
    libraries=("torch",),
)
EXPORT = Step(
    name="export",
    kind="models",
    version=1,
    help="The model in Hugging Face format: safetensors, config.json, tokenizer.",
    parameters=ExportParameters,
    reads=("checkpoints", "tokenizer"),
    module="model.export.step",
    launch=Launch.CHILD,
    rate=Rate(5.0, "run"),
)
STEPS: tuple[Step, ...] = (TRAIN, EVALUATE, EXPORT)
