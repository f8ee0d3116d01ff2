"""The pages of the reference by their file's name."""

from pathlib import Path

from flows.reference import command, lake, parameters
from flows.reference.markdown import table

FOLDER = Path("docs/reference")
INDEX = """# Reference

Rendered from the declarations in the code: `make reference` writes these pages, a test holds that
they are current.

"""
ABOUT = {
    "parameters.md": "every parameter: type, range, unit, its value with each preset",
    "columns.md": "every column: type, meaning, source of the method",
    "artifacts.md": "every kind of artifact: who makes it, its files, what its manifest says",
    "reasons.md": "every reason for which a row is rejected, and the rules of the filter",
    "commands.md": "every command with its options",
    "settings.md": "every environment variable",
}


def pages() -> dict[str, str]:
    """File's name -> text."""
    found = {
        "parameters.md": parameters.page(),
        "columns.md": lake.columns(),
        "artifacts.md": lake.artifacts(),
        "reasons.md": lake.reasons(),
        "commands.md": command.commands(),
        "settings.md": command.settings(),
    }
    rows = [(f"[{name.removesuffix('.md')}]({name})", ABOUT[name]) for name in found]
    return {"README.md": INDEX + table(("page", "what"), rows), **found}
