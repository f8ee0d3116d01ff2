"""The parameters of a run: one model for the command line, a YAML file and Prefect's form.

Later sources win: preset, then YAML (`--config`), then `--set a.b=c`, then a step's own options. A wrong key or value is a
UsageError of one line that names it and the nearest right one.
"""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from flows.card.step import ReportParameters
from flows.chain import form
from infra import storage
from infra.errors import UsageError, nearest
from infra.parameters import build, explain, field_types, plain
from jobs.dedup import DedupParameters
from jobs.extract import ExtractParameters
from jobs.filter import FilterParameters
from jobs.tokenize import TokenizeParameters
from jobs.tokenizer import TokenizerParameters
from model.config import EvaluateParameters, ExportParameters, TrainParameters
from model.presets import PRESETS

PRESET_SECTIONS: dict[str, dict[str, Any]] = {
    "tiny": {"tokenizer": {"vocab_size": 4096}},
    "shakespeare_char": {
        "tokenizer": {"type": "chars"},
        "tokenize": {"split_by": "tail", "val_fraction": 0.1},
    },
    "gpt2_small": {"tokenizer": {"vocab_size": 50304}},
    "llama_7b": {"tokenizer": {"vocab_size": 32000}},
}
"""What a preset changes before training: its tokenizer and split."""
PRESET_FIELDS = {
    section: {field for changes in PRESET_SECTIONS.values() for field in changes.get(section, {})}
    for section in ("tokenizer", "tokenize")
}
"""Section -> the fields that some preset changes."""


class PipelineParameters(BaseModel):
    """Raw crawl to evaluated, registered model."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Pipeline")

    input: list[str] = Field(
        default_factory=list,
        description="Crawl: globs, directories, paths, s3:// or https:// URIs of WARC, WET, ARC, HTML, text, JSONL or Parquet files",
        json_schema_extra={"position": 0},
    )
    root: str = Field(
        "./lake",
        description="The lake: a directory or s3://bucket/prefix",
        json_schema_extra={"position": 1},
    )
    name: str = Field(
        "default",
        description="Name of the artifacts in the lake",
        json_schema_extra={"position": 2},
    )
    preset: str = Field(
        "tiny",
        description="Model and training to start from",
        json_schema_extra={"position": 3, "enum": list(PRESETS)},
    )
    extract: ExtractParameters = Field(
        default_factory=ExtractParameters, json_schema_extra={"position": 4}
    )
    filter: FilterParameters = Field(
        default_factory=FilterParameters, json_schema_extra={"position": 5}
    )
    dedup: DedupParameters = Field(
        default_factory=DedupParameters, json_schema_extra={"position": 6}
    )
    tokenizer: Annotated[
        TokenizerParameters, form.section(TokenizerParameters, PRESET_FIELDS["tokenizer"])
    ] = Field(default_factory=TokenizerParameters, json_schema_extra={"position": 7})
    tokenize: Annotated[
        TokenizeParameters, form.section(TokenizeParameters, PRESET_FIELDS["tokenize"])
    ] = Field(default_factory=TokenizeParameters, json_schema_extra={"position": 8})
    train: Annotated[dict[str, Any], form.section(TrainParameters)] = Field(
        default_factory=dict,
        description="Training parameters that differ from the preset; what is left empty is the preset's",
        json_schema_extra={"position": 9},
    )
    evaluate: EvaluateParameters = Field(
        default_factory=EvaluateParameters, json_schema_extra={"position": 10}
    )
    export: ExportParameters = Field(
        default_factory=ExportParameters, json_schema_extra={"position": 11}
    )
    report: ReportParameters = Field(
        default_factory=ReportParameters, json_schema_extra={"position": 12}
    )

    @model_validator(mode="before")
    @classmethod
    def _under_the_preset(cls, values: Any) -> Any:
        preset = values.get("preset", "tiny") if isinstance(values, dict) else "tiny"
        return (
            merged(PRESET_SECTIONS.get(preset, {}), values) if isinstance(values, dict) else values
        )

    @field_validator("preset")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in PRESETS:
            raise ValueError(f"unknown preset{nearest(value, PRESETS)}")
        return value

    def section(self, step: str) -> Any:
        """The parameter dataclass of a step. Raises UsageError for a wrong key or value of `train`."""
        if step != "train":
            return getattr(self, step)
        return build(TrainParameters, merged(plain(PRESETS[self.preset]()), self.train), "train")


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, section by section."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def parse(values: dict[str, Any]) -> PipelineParameters:
    """The parameters, or a UsageError of one line."""
    try:
        parameters = PipelineParameters(**values)
    except ValidationError as error:
        raise UsageError(explain(error, PipelineParameters)) from None
    parameters.section("train")
    return parameters


def from_sources(
    config: Path | None,
    settings: list[str],
    options: dict[str, Any],
    base: dict[str, Any] | None = None,
) -> PipelineParameters:
    """`base`, then the YAML file, then `a.b=c` settings, then options of the command line."""
    values: dict[str, Any] = {}
    if config is not None:
        try:
            loaded = yaml.safe_load(storage.read_bytes(str(config)))
        except (OSError, yaml.YAMLError) as error:
            raise UsageError(f"{config}: {' '.join(str(error).split())}") from None
        if not isinstance(loaded, dict | None):
            raise UsageError(
                f"{config}: expected `key: value` lines, got a {type(loaded).__name__}"
            )
        values = loaded or {}
    for setting in settings:
        key, sign, text = setting.partition("=")
        if not sign:
            raise UsageError(f"--set {setting}: write --set section.key=value")
        parts = key.split(".")
        known = field_types(PipelineParameters)
        if parts[0] not in known:
            raise UsageError(f"unknown key '{key}'{nearest(parts[0], known)}")
        value: Any = yaml.safe_load(text)
        for part in reversed(parts):
            value = {part: value}
        values = merged(values, value)
    return parse(merged(merged(base or {}, values), options))
