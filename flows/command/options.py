"""A step's declared parameters as options of the command.

Names, types and units come from the declaration alone; what runs where an option is not given is
for the run's parameters to say (`flows.command.sections` shows it).
"""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

SIMPLE = (int, float, str, bool)
PANEL = "Parameters of this step"
"""By its panel a parameter's option is told from the options of the command itself."""


def simple_type(annotation: Any) -> Any:
    """The type of a parameter's option; None where it can be set with `--set` or in YAML alone."""
    if annotation in SIMPLE or typing.get_origin(annotation) is Literal:
        return str if typing.get_origin(annotation) is Literal else annotation
    if typing.get_origin(annotation) is list and typing.get_args(annotation)[0] in SIMPLE:
        return annotation
    return None


def option_fields(parameters: type) -> dict[str, tuple[Any, str]]:
    """Field -> (option type, help), for the parameters that can be options."""
    hints = typing.get_type_hints(parameters)
    infos = parameters.__pydantic_fields__  # type: ignore[attr-defined]
    found = {}
    for field in dataclasses.fields(parameters):
        kind = simple_type(hints[field.name])
        if kind is not None:
            choices = (
                typing.get_args(hints[field.name])
                if typing.get_origin(hints[field.name]) is Literal
                else ()
            )
            text = infos[field.name].description + (f" ({' | '.join(choices)})" if choices else "")
            found[field.name] = (kind, text)
    return found


def with_options(function: Callable[..., None], parameters: type | None) -> Callable[..., None]:
    """`function(**common, own: dict)` as one whose signature has an option for each parameter.

    `own` receives only the options that the user gave; all others keep what preset, YAML and
    `--set` say.
    """
    signature = inspect.signature(function, eval_str=True)
    common = [p for p in signature.parameters.values() if p.name != "own"]
    fields = option_fields(parameters) if parameters else {}
    taken = {p.name for p in common}
    extra = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                typing.Optional[kind],  # noqa: UP045 - the type is known at run time only
                typer.Option(help=text, rich_help_panel=PANEL),
            ],
        )
        for name, (kind, text) in fields.items()
        if name not in taken
    ]

    def call(**arguments: Any) -> None:
        own = {name: arguments.pop(name) for name in fields if name not in taken}
        function(**arguments, own={k: v for k, v in own.items() if v is not None and v != []})

    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in common]
    call.__signature__ = signature.replace(parameters=[*keyword, *extra])  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in [*keyword, *extra]}
    call.__doc__ = function.__doc__
    return call
