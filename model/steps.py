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
    rate=Rate(0.2, "step", start=10.0),
    files={
        "model.safetensors": "the final weights",
        "model.json": "the shape of the model",
        "step-*/*": "a checkpoint: tensors of each process, where their chunks are, the trainer's"
        " state, and COMPLETE, written last",
    },
    details={
        "val_loss": "loss of the final weights on the whole validation split, nats per token",
        "val_bits_per_byte": "the same in bits per byte of text",
        "steps": "optimizer steps that were made",
        "final_step": "the step whose weights are final",
        "best_step": "the step of the least validation loss",
        "stopped_early": "whether `patience` ended it",
        "parameters": "weights of the model",
        "tokens_seen": "predicted tokens",
        "epochs": "how often the training split was gone through",
        "dropped_tokens_an_epoch": "tokens behind the last whole sequence of each row group",
        "tokens_per_second": "over the last attempt",
        "peak_memory_bytes_a_process": "of the process that used most",
        "processes": "training processes of the last attempt",
        "curve": "points of step, training loss, validation loss or null",
        "model": "the shape of the model, its vocabulary filled in",
        "tokenizer": "digest of the tokenizer",
        "tokens": "digest of the tokens",
    },
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
    rate=Rate(10.0, "run", start=4.0),
    files={
        "scores.json": "the scores, over all and by source",
        "samples.json": "prompts, each with the model's continuation",
    },
    details={
        "checkpoint": "digest of the checkpoints",
        "val_loss": "nats per token on the validation split",
        "perplexity": "its exponential",
        "val_bits_per_byte": "bits per byte of text: comparable between tokenizers",
        "val_tokens": "tokens that were predicted",
        "val_bytes": "bytes of text that they stand for",
        "per_source": "the same five for each source",
    },
    libraries=("torch",),
)
EXPORT = Step(
    name="export",
    kind="models",
    version=2,
    help="The model in Hugging Face format, loadable by MLflow: safetensors, config, tokenizer.",
    parameters=ExportParameters,
    reads=("checkpoints", "tokenizer"),
    module="model.export.step",
    launch=Launch.CHILD,
    rate=Rate(0.5, "run", start=4.0),
    files={
        "model.safetensors": "the weights under Hugging Face's names",
        "config.json": "architecture and shape, as `transformers` reads them",
        "generation_config.json": "the ids that begin and end a text",
        "tokenizer.json": "the tokenizer",
        "tokenizer_config.json": "how `transformers` loads it",
        "MLmodel": "how MLflow loads the folder",
        "components/tokenizer/*": "the tokenizer where MLflow looks for it",
    },
    details={
        "architecture": "the class of `transformers`",
        "parameters": "weights of the model",
        "dtype": "type of the written weights",
    },
)
STEPS: tuple[Step, ...] = (TRAIN, EVALUATE, EXPORT)
