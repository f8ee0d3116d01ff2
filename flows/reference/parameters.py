"""Every parameter: type, range, unit, its value with each preset, meaning, source, whether it
counts."""

import inspect
from pathlib import Path
from typing import Any

import flows
from flows.chain.parameters import RunParameters, parse
from flows.chain.steps import STEPS
from flows.command.demo import sample_parameters
from flows.reference.markdown import code, table
from infra.declared import Declared, declared, kind_of, shown, value_at
from infra.step import Step
from model.presets import DEFAULT_PRESET, PRESETS

PAGE = f"""# Parameters

Set one with `--set KEY=VALUE`, in YAML (`--config`), in Prefect's form, or with a step's own
option; later wins: preset, YAML, `--set`, option. `gristmill run --help` shows the values that
would run. A value is that of every preset, or of `{DEFAULT_PRESET}`, the default, before those of
the others that differ. A parameter that changes no result is no part of an artifact's identity:
changing it makes nothing anew.

"""
HEADINGS = ("key", "type, range, unit", "value", "meaning", "source")
MACHINE = ("sample.environment",)
"""Keys whose value is this machine's."""


def page() -> str:
    """The page."""
    return PAGE + "\n".join([run_section(), *map(section, STEPS.values()), presets()])


def run_section() -> str:
    """What every run says, whatever its steps are."""
    usual = parse({})
    rows = [
        (
            code(name),
            kind_of(info.annotation),
            code(shown(getattr(usual, name))),
            str(info.description),
            "",
        )
        for name, info in RunParameters.model_fields.items()
    ]
    return f"## Of every run\n\n{table(HEADINGS, rows)}"


def section(step: Step) -> str:
    """A step's parameters."""
    entries = list(declared(step.parameters, step.name))
    owners = ", ".join(dict.fromkeys(map(owner_of, entries)))
    values = {preset: values_of(step, preset) for preset in PRESETS}
    rows = [
        (code(each.key), each.facts, value(values, each.key), each.meaning, each.source)
        for each in entries
    ]
    return f"## {step.name}\n\n{step.help} Declared in {owners}.\n\n{table(HEADINGS, rows)}"


def owner_of(parameter: Declared) -> str:
    """Where a parameter is declared."""
    root = Path(flows.__file__).parents[1]
    file = Path(inspect.getfile(parameter.owner)).relative_to(root)
    return code(f"{file}:{parameter.owner.__name__}")


def value(parameters: dict[str, Any], key: str) -> str:
    """The value of a key in a step's parameters by preset: of the default one, then of those that
    differ."""
    if key in MACHINE:
        return "of this machine"
    values = {preset: value_at(each, key) for preset, each in parameters.items()}
    usual = values[DEFAULT_PRESET]
    others = [
        f"{code(preset)}: {text_of(each)}" for preset, each in values.items() if each != usual
    ]
    return "\n".join([text_of(usual), *others])


def values_of(step: Step, preset: str) -> Any:
    """A step's parameters as a preset runs them."""
    if not step.reads:
        return sample_parameters({})
    return parse({"preset": preset}).section(step.name)


def text_of(value: Any) -> str:
    """A value; a mapping's entries one below the other."""
    if isinstance(value, dict):
        return "\n".join(f"{code(name)}: {code(shown(each))}" for name, each in value.items())
    return code(shown(value))


def presets() -> str:
    """What each preset is."""
    rows = [
        (code(name), " ".join((inspect.getdoc(preset.train) or "").split()))
        for name, preset in PRESETS.items()
    ]
    return f"## Presets\n\n{table(('preset', 'what it is'), rows)}"
