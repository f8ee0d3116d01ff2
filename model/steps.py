"""The steps that run on torch, declared without importing it."""

from infra.step import Step
from model.config import EvaluateParameters, ExportParameters, TrainParameters

TRAIN = Step("train", "checkpoints", 1, TrainParameters, ("tokens", "tokenizer"), "model.train")
EVALUATE = Step(
    "evaluate",
    "scores",
    1,
    EvaluateParameters,
    ("checkpoints", "tokens", "tokenizer"),
    "model.evaluate",
)
EXPORT = Step(
    "export", "models", 1, ExportParameters, ("checkpoints", "tokenizer"), "model.export.step"
)
