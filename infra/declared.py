"""What parameter classes declare, key by key: for the help and for the reference.

In: a parameter dataclass (`infra.parameters`), those within it included. Out: an entry a value that
can be set, under its dotted key, in the order of the declaration.
"""

import dataclasses
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import annotated_types

from infra.show import json_line, printable

LIMITS = {
    annotated_types.Ge: (">= {}", "ge"),
    annotated_types.Gt: ("> {}", "gt"),
    annotated_types.Le: ("<= {}", "le"),
    annotated_types.Lt: ("< {}", "lt"),
    annotated_types.MinLen: ("at least {} long", "min_length"),
    annotated_types.MaxLen: ("at most {} long", "max_length"),
}


@dataclass(frozen=True)
class Declared:
    """One parameter.

    key       dotted, as `--set` takes it
    owner     the class that declares it
    kind      its type, in words; the choices where it has some
    limits    of its value, in words
    meaning   what it says; without the unit
    source    the publication that it is from, where there is one
    identity  whether it changes the result
    """

    key: str
    owner: type
    kind: str
    limits: str
    unit: str
    meaning: str
    source: str
    identity: bool

    @property
    def facts(self) -> str:
        """Type, limits and unit in one phrase."""
        without = "" if self.identity else "changes no result"
        return ", ".join(each for each in (self.kind, self.limits, self.unit, without) if each)


def declared(parameters: type, prefix: str) -> Iterator[Declared]:
    """The parameters of a class; keys begin with `prefix` and a dot."""
    hints = typing.get_type_hints(parameters)
    infos = parameters.__pydantic_fields__  # type: ignore[attr-defined]
    for field in dataclasses.fields(parameters):
        key, hint, info = f"{prefix}.{field.name}", hints[field.name], infos[field.name]
        if dataclasses.is_dataclass(hint):
            yield from declared(typing.cast(type, hint), key)
            continue
        extra = info.json_schema_extra or {}
        unit = str(extra.get("unit", ""))
        meaning = str(info.description or "").removesuffix(f" ({unit})")
        limits = ", ".join(limits_of(info.metadata))
        source, identity = str(extra.get("source", "")), bool(extra.get("identity", True))
        yield Declared(key, parameters, kind_of(hint), limits, unit, meaning, source, identity)


def limits_of(metadata: list[Any]) -> Iterator[str]:
    """Each limit in words."""
    for limit in metadata:
        if type(limit) in LIMITS:
            words, name = LIMITS[type(limit)]
            yield words.format(getattr(limit, name))


def kind_of(hint: Any) -> str:
    """A type in words: `int`, `fine | coarse`, `list of str`, `str -> float`."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin is list:
        return f"list of {kind_of(inner[0])}"
    if origin is dict:
        return f"{kind_of(inner[0])} -> {kind_of(inner[1])}"
    return str(getattr(hint, "__name__", hint))


def value_at(parameters: Any, key: str) -> Any:
    """The value of a dotted key of a parameter dataclass; the key's first part names the class."""
    value = parameters
    for part in key.split(".")[1:]:
        value = getattr(value, part)
    return value


def shown(value: Any) -> str:
    """A value as `--set` and YAML take it, on one line that steers no terminal."""
    plain_word = isinstance(value, str) and value and value == printable(value).strip()
    return str(value) if plain_word else json_line(value)
