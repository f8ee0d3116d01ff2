"""The parameters of a run: one model for the command line, a YAML file and Prefect's form.

A section a step, made from the steps' declarations. Later sources win: preset, then YAML
(`--config`), then `--set a.b=c`, then a step's own options. A wrong key or value is a UsageError of
one line that names it and the nearest right one.
"""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)

from flows.chain import form
from flows.chain.steps import of_chain, optional
from infra import storage
from infra.crawl import public_reference
from infra.errors import UsageError, nearest
from infra.parameters import explain, field_types
from model.presets import DEFAULT_PRESET, PRESETS, values_of

NO_SECRET = r"^(?!([\w.-]+=)?https?://[^/?#]*@)(?!([\w.-]+=)?https?://[^?#]*[?#])"
"""What Prefect's page may be told, which stores it before any code of ours sees it: a web address
without login and query."""


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, section by section."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


class RunParameters(BaseModel):
    """What every run says, whatever its steps are."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Pipeline")

    input: list[str] = Field(
        default_factory=list,
        description="Crawl: globs, directories, paths, s3:// or https:// URIs of WARC, WET, ARC,"
        " HTML, text, JSONL or Parquet files, each with its source before it where that is not the"
        " folder's name (web=crawl/*.warc.gz); or artifacts (kind/name/digest) to start from",
        json_schema_extra={"position": 0, "items": {"type": "string", "pattern": NO_SECRET}},
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
        DEFAULT_PRESET,
        description="Model and training to start from",
        json_schema_extra={"position": 3, "enum": list(PRESETS)},
    )
    without: list[str] = Field(
        default_factory=list,
        description=f"Steps to leave out, of {', '.join(optional())}",
        json_schema_extra={"position": 4},
    )

    @model_validator(mode="before")
    @classmethod
    def _over_the_preset(cls, values: Any) -> Any:
        """Sections start from the preset's values."""
        if not isinstance(values, dict) or values.get("preset", DEFAULT_PRESET) not in PRESETS:
            return values
        return merged(values_of(values.get("preset", DEFAULT_PRESET)), values)

    @field_serializer("input")
    def _without_secrets(self, value: list[str]) -> list[str]:
        """As Prefect stores it with the run: a query may be a password."""
        return [public_reference(each) for each in value]

    @field_validator("preset")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in PRESETS:
            raise ValueError(f"unknown preset{nearest(value, PRESETS)}")
        return value

    @field_validator("without")
    @classmethod
    def _optional(cls, value: list[str]) -> list[str]:
        for name in value:
            if name not in optional():
                raise ValueError(f"'{name}' cannot be left out{nearest(name, optional())}")
        return value

    def section(self, step: str) -> Any:
        """The parameter dataclass of a step."""
        return getattr(self, step)


def _sections() -> dict[str, Any]:
    """A field for each step of the chain. In the form, what a preset may change is shown empty."""
    found: dict[str, Any] = {}
    for place, step in enumerate(of_chain(), start=len(RunParameters.model_fields)):
        changed: dict[str, Any] = {}
        for preset in PRESETS:
            changed = merged(changed, values_of(preset).get(step.name, {}))
        shape = form.section(step.parameters, changed)
        annotation = Annotated[step.parameters, shape]  # type: ignore[name-defined]
        shown = Field(
            default_factory=step.parameters,
            description=step.help,
            json_schema_extra={"position": place},
        )
        found[step.name] = (annotation, shown)
    return found


_WithSections = create_model("_WithSections", __base__=RunParameters, **_sections())


class PipelineParameters(_WithSections):  # type: ignore[misc, valid-type]
    """Raw crawl to evaluated, registered model."""


def parse(values: dict[str, Any]) -> PipelineParameters:
    """The parameters, or a UsageError of one line."""
    try:
        found: PipelineParameters = PipelineParameters.model_validate(values)
        return found
    except ValidationError as error:
        raise UsageError(explain(error, PipelineParameters)) from None


def from_sources(
    config: Path | None,
    settings: list[str],
    options: dict[str, Any],
    base: dict[str, Any] | None = None,
) -> PipelineParameters:
    """`base`, then the YAML file, then `a.b=c` settings, then options of the command line."""
    values = _from_file(config) if config else {}
    for setting in settings:
        values = merged(values, _from_setting(setting))
    return parse(merged(merged(base or {}, values), options))


def _from_file(config: Path) -> dict[str, Any]:
    try:
        text = storage.read_bytes(str(config))
    except OSError as error:
        raise UsageError(f"{config}: {error.strerror or error}") from None
    loaded = _from_yaml(text, str(config))
    if not isinstance(loaded, dict | None):
        raise UsageError(f"{config}: expected `key: value` lines, got a {type(loaded).__name__}")
    return loaded or {}


def _from_yaml(text: str | bytes, where: str) -> Any:
    """Raises UsageError for text that is no YAML, or nested beyond all reason."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{where}: {' '.join(str(error).split())}; is it YAML?") from None


def _from_setting(setting: str) -> dict[str, Any]:
    """`a.b=c` as nested values."""
    key, sign, text = setting.partition("=")
    if not sign:
        raise UsageError(f"--set {storage.public_uri(setting)}: write --set section.key=value")
    parts = key.split(".")
    known = field_types(PipelineParameters)
    if parts[0] not in known:
        raise UsageError(f"unknown key '{key}'{nearest(parts[0], known)}")
    value = _from_yaml(text, f"--set {key}")
    for part in reversed(parts):
        value = {part: value}
    found: dict[str, Any] = value
    return found
