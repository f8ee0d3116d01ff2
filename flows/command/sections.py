"""The help of a command that takes parameters: every dotted key, with the value that would run.

The keys come from the steps' declarations, a section a step; the values from what stands in the
same call: `--preset`, `--config` and `--set`, before `--help` or behind it.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text
from typer.core import TyperCommand

from flows.chain.parameters import PipelineParameters
from flows.command.options import PANEL, option_fields
from flows.command.said import parameters_of
from infra.declared import Declared, declared, shown, value_at
from infra.show import printable
from infra.step import Step

GIVEN = "gristmill.given"
KEY, DIM = "bold cyan", "dim"
INDENT = 4
Values = Callable[[PipelineParameters, Step], Any]


def of_section(parameters: PipelineParameters, step: Step) -> Any:
    """The parameters of a step of the chain."""
    return parameters.section(step.name)


def with_sections(
    steps: Sequence[Step],
    *,
    own: bool = False,
    base: Callable[[], dict[str, Any]] = dict,
    values: Values = of_section,
) -> type[TyperCommand]:
    """The class of a command whose help ends with the parameters of these steps.

    own     the command has an option for each simple parameter of its only step
    base    values that come before those of the user's
    values  a step's parameters, from those of the run
    """

    class WithSections(TyperCommand):
        """A command that says what its parameters are, and with which values it would run."""

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """Remember what decides the defaults: `--help` ends the call before it is looked at."""
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
            ctx.meta[GIVEN] = given
            return super().parse_args(ctx, args)

        def format_help(self, ctx: Any, formatter: Any) -> None:
            """The common options, then the sections. Raises UsageError for a wrong value."""
            given = ctx.meta[GIVEN]
            config = Path(given["config"]) if given.get("config") else None
            said = parameters_of(config, given.get("set"), base(), preset=given.get("preset"))
            options = option_names(steps[0], self.params) if own else {}
            common = copy.copy(self)
            common.params = [p for p in self.params if f"{steps[0].name}.{p.name}" not in options]
            TyperCommand.format_help(common, ctx, formatter)
            also = [f"--{name}" for name in ("config", "set") if given.get(name)]
            whose = " and of ".join([f"preset {said.preset}", *also])
            print_sections([(step, values(said, step)) for step in steps], whose, options)

    return WithSections


def option_names(step: Step, params: Sequence[Any]) -> dict[str, str]:
    """Dotted key -> option, of those parameters that are options of the step's own command."""
    fields = option_fields(step.parameters)
    own = {p.name: p.opts[0] for p in params if p.rich_help_panel == PANEL}
    return {f"{step.name}.{name}": own[name] for name in fields if name in own}


def print_sections(
    sections: Sequence[tuple[Step, Any]], whose: str, options: dict[str, str]
) -> None:
    """A panel a step. whose: where the values come from; options: the keys that are options too."""
    console = Console(highlight=False)
    how = "as --set KEY=VALUE or in YAML" + (", or by the option beside the key" if options else "")
    console.print(Padding(Text(f"Values of {whose}; change them {how}."), (0, 1)))
    for step, values in sections:
        entries = [
            entry_of(each, value_at(values, each.key), options.get(each.key))
            for each in declared(step.parameters, step.name)
        ]
        console.print(Panel(Group(*entries), title=step.name, title_align="left", border_style=DIM))


def entry_of(parameter: Declared, value: Any, option: str | None) -> Group:
    """One parameter: its names and value, what it says, type and limits."""
    head = Text()
    if option:
        head.append(option, KEY).append(", ")
    head.append(parameter.key, KEY).append(" =")
    several = isinstance(value, dict) and value
    if not several:
        head.append(f" {shown(value)}")
    body = Text(f"{parameter.meaning} ").append(f"({parameter.facts})", DIM)
    items = [f"{printable(name)}: {shown(each)}" for name, each in value.items()] if several else []
    inside = Padding(Text("\n".join(items)), (0, 0, 0, 2 * INDENT))
    return Group(head, Padding(body, (0, 0, 0, INDENT)), *([inside] if items else []))
