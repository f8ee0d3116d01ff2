"""Parameters of a step: declared once, for the command line, YAML, Prefect's form and the digest.

A step's parameters are a frozen pydantic dataclass whose fields are made with `option`. The same
declaration validates the value, documents it with its unit, and says whether it changes the result:
only those fields enter an artifact's identity.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast, dataclass_transform, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from infra.errors import UsageError, nearest
from infra.storage import public_text

T = TypeVar("T")
UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
SHOWN = 80
"""Letters of a wrong value that a message repeats."""


@dataclass_transform(frozen_default=True)
def parameters(cls: type[T]) -> type[T]:
    """A class as a frozen dataclass that validates on construction and refuses unknown keys."""
    return cast(type[T], pydantic_dataclass(frozen=True, config=CONFIG)(cls))


def option(
    default: Any,
    description: str,
    *,
    unit: str = "",
    source: str = "",
    identity: bool = True,
    **limits: Any,
) -> Any:
    """A parameter field.

    default    the value, or a function that makes one; `...` where it must be given
    unit       shown in the help
    source     the publication that it is from
    identity   False for a field that cannot change the result
    limits     pydantic's: ge, le, min_length, pattern ...
    """
    text = f"{description} ({unit})" if unit else description
    extra: dict[str, Any] = {"unit": unit, "source": source, "identity": identity}
    if callable(default):
        made = default()
        if isinstance(made, list | dict):
            # pydantic leaves made defaults out of the schema, hence out of the form.
            extra["default"] = made
        return Field(default_factory=default, description=text, json_schema_extra=extra, **limits)
    return Field(default=default, description=text, json_schema_extra=extra, **limits)


def build(cls: type[T], values: dict[str, Any], where: str = "") -> T:
    """`cls(**values)`, with one clear line for a wrong key or value instead of pydantic's report.

    Raises UsageError that names the key (dotted below `where`) and the nearest valid one.
    """
    try:
        return TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        raise UsageError(explain(error, cls, where)) from None


def explain(error: ValidationError, cls: Any, where: str = "") -> str:
    """The first problem of a pydantic report in one line.

    An unknown key comes first: it may be why another is missing.
    """
    problems = error.errors()
    problem = next((p for p in problems if p["type"] in UNKNOWN), problems[0])
    path = [str(part) for part in problem["loc"]]
    key = ".".join(([where] if where else []) + path) or "parameters"
    if problem["type"] in UNKNOWN:
        owner = cls
        for part in path[:-1]:
            owner = _dataclass_in(field_types(owner).get(part, owner))
        return f"unknown key '{key}'{nearest(path[-1], field_types(owner))}"
    given = public_text(repr(problem["input"]))
    shown = given if len(given) <= SHOWN else f"{given[:SHOWN]}..."
    return f"{key}: {problem['msg'].removeprefix('Value error, ')} (got {shown})"


def _dataclass_in(annotation: Any) -> Any:
    """The parameter class in `X | None`, `list[X]` and the like; any other annotation as it is."""
    owners = (argument for argument in get_args(annotation) if field_types(argument))
    return next(owners, annotation)


def field_types(cls: Any) -> dict[str, Any]:
    """Field name -> type of a parameter dataclass or pydantic model; empty for anything else."""
    if dataclasses.is_dataclass(cls):
        return {f.name: f.type for f in dataclasses.fields(cls)}
    return {name: info.annotation for name, info in getattr(cls, "model_fields", {}).items()}


def identity_of(value: Any) -> Any:
    """Those fields of `value` that change the result, as plain data (dict, list, str, numbers)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        infos = type(value).__pydantic_fields__  # type: ignore[attr-defined]
        return {
            f.name: identity_of(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if (infos[f.name].json_schema_extra or {}).get("identity", True)
        }
    if isinstance(value, list | tuple):
        return [identity_of(item) for item in value]
    if isinstance(value, dict):
        return {key: identity_of(item) for key, item in value.items()}
    return value


def plain(value: Any) -> dict[str, Any]:
    """All fields of a parameter dataclass as JSON-ready data."""
    data: dict[str, Any] = TypeAdapter(type(value)).dump_python(value, mode="json")
    return data


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots: `{"a": {"b": 1}}` -> `{"a.b": 1}`.

    Keys begin with `prefix` and a dot where one is given. An empty mapping leaves nothing.
    """
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        key = f"{prefix}.{name}" if prefix else name
        flat |= flatten(value, key) if isinstance(value, Mapping) else {key: value}
    return flat
