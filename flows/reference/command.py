"""The command's subcommands with their options, and the environment variables that it reads."""

import inspect
from typing import Any

from typer.main import get_command

from flows.command.cli import app
from flows.command.options import PANEL
from flows.reference.markdown import code, table
from infra.settings import Settings

COMMANDS = """# Commands

Exit codes: 0 done, 1 a step failed, 2 the input is wrong and nothing was written. A step's command
also has an option for each of its [parameters](parameters.md) without a second dot: `--min-chars`
for `extract.min_chars`.

"""
SETTINGS = """# Settings

Environment variables. They say where things run, change no result and enter no digest.

"""


def commands() -> str:
    """The page of all commands."""
    group: Any = get_command(app)
    return COMMANDS + "\n".join(command_of(name, each) for name, each in group.commands.items())


def command_of(name: str, command: Any) -> str:
    """One command: what it does, its arguments and common options."""
    params = [p for p in command.params if p.rich_help_panel != PANEL and p.name != "help"]
    rows = [(code(written(p)), default_of(p), str(p.help or "")) for p in params]
    said = " ".join(inspect.cleandoc(command.help or "").split())
    return f"## gristmill {name}\n\n{said}\n\n{table(('option', 'default', 'meaning'), rows)}"


def written(parameter: Any) -> str:
    """An option or an argument as it is typed."""
    if parameter.param_type_name == "option":
        return str(parameter.opts[0])
    return str(parameter.name).upper()


def default_of(parameter: Any) -> str:
    """What holds where it is not given; nothing for what may be left out."""
    declared = parameter.show_default
    value = declared if isinstance(declared, str) else parameter.default
    if parameter.required:
        return "must be given"
    return "" if value is None or value is False or value == "" else code(str(value))


def settings() -> str:
    """The page of all settings."""
    rows = [
        (
            code(str(info.alias)),
            code(str(info.default)) if info.default else "",
            str(info.description),
        )
        for info in Settings.model_fields.values()
    ]
    return SETTINGS + table(("variable", "default", "meaning"), rows)
