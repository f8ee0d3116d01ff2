"""How a section of parameters looks in Prefect's form.

The form sends every default that it shows, as if the user had typed it. So a field that a preset
may change is shown empty: it is not sent unless filled in, and the preset decides, as it does on
the command line.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, WithJsonSchema

EMPTY = "; empty: what the preset says"


def section(parameters: type, changed: Mapping[str, Any]) -> WithJsonSchema:
    """The JSON schema of a parameter dataclass. changed: the fields that some preset changes,
    nested as they are: these are shown empty."""
    schema = TypeAdapter(parameters).json_schema()
    return WithJsonSchema(_shown(schema, schema.get("$defs", {}), changed))


def _shown(
    schema: dict[str, Any], nested: dict[str, Any], changed: Mapping[str, Any]
) -> dict[str, Any]:
    """An object's schema, with nested objects in their place instead of references."""
    properties = {}
    for name, field in schema["properties"].items():
        if "$ref" in field:
            inner = nested[field["$ref"].rpartition("/")[2]]
            field = _shown(inner, nested, changed.get(name, {})) | {"title": name.title()}
        elif name in changed:
            field = _choice(field)
            field["description"] += EMPTY
        properties[name] = field
    rest = {key: value for key, value in schema.items() if key not in ("$defs", "title")}
    return rest | {"properties": properties}


def _choice(field: dict[str, Any]) -> dict[str, Any]:
    """A field's schema without its default. A switch would be off and a constant sent: both are
    lists to choose from, empty at first."""
    without = {key: value for key, value in field.items() if key != "default"}
    if field.get("type") == "boolean":
        del without["type"]
        return without | {"enum": [True, False]}
    if "const" in field:
        del without["const"]
        return without | {"enum": [field["const"]]}
    return without
