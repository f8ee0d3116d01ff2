"""How a section of parameters looks in Prefect's form.

The form sends every default that it shows, as if the user had typed it. So a field that a preset may change is shown empty: it is not
sent unless filled in, and the preset decides, as it does on the command line.
"""

from collections.abc import Set
from typing import Any

from pydantic import TypeAdapter, WithJsonSchema

EMPTY = "; empty: what the preset says"


def section(parameters: type, from_preset: Set[str] | None = None) -> WithJsonSchema:
    """The JSON schema of a parameter dataclass. `from_preset`: the fields that are shown empty; None for all, nested ones too."""
    schema = TypeAdapter(parameters).json_schema()
    return WithJsonSchema(_shown(schema, schema.get("$defs", {}), from_preset))


def _shown(
    schema: dict[str, Any], nested: dict[str, Any], from_preset: Set[str] | None
) -> dict[str, Any]:
    """An object's schema, with nested objects in their place instead of references."""
    properties = {}
    for name, field in schema["properties"].items():
        if "$ref" in field:
            field = _shown(nested[field["$ref"].rpartition("/")[2]], nested, from_preset) | {
                "title": name.title()
            }
        elif from_preset is None or name in from_preset:
            field = _choice(field)
            field["description"] += "" if from_preset is None else EMPTY
        properties[name] = field
    return {key: value for key, value in schema.items() if key not in ("$defs", "title")} | {
        "properties": properties
    }


def _choice(field: dict[str, Any]) -> dict[str, Any]:
    """A field's schema without its default. A switch would be off and a constant sent: both are lists to choose from, empty at first."""
    if field.get("type") == "boolean":
        return {key: value for key, value in field.items() if key not in ("default", "type")} | {
            "enum": [True, False]
        }
    if "const" in field:
        return {key: value for key, value in field.items() if key not in ("default", "const")} | {
            "enum": [field["const"]]
        }
    return {key: value for key, value in field.items() if key != "default"}
