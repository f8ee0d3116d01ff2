"""How two artifacts differ, as tables for people (`flows.command.differences`)."""

from typing import Any

from rich.table import Table

from flows.command.console import out, plain
from flows.command.differences import Pair, difference
from infra.declared import shown

MOST_FILES = 10
DIGITS = 6


def print_differences(found: dict[str, Any]) -> None:
    """A table for each kind that differs, a line for each that does not."""
    out.print(f"left   {plain(found['left'])}\nright  {plain(found['right'])}")
    for kind in found["kinds"]:
        name = f"\n[bold]{plain(kind['kind'])}[/]"
        if kind["same"]:
            out.print(f"{name}  the same, {plain(kind['left'])}")
        elif kind["left"] is None or kind["right"] is None:
            side = "left" if kind["left"] else "right"
            out.print(f"{name}  {side} alone, {plain(kind[side])}")
        else:
            out.print(name)
            out.print(table_of(kind))
    print_crawl(found["crawl"])


def table_of(kind: dict[str, Any]) -> Table:
    """What differs, and all counts."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("", "left", "right", "difference"):
        table.add_column(heading, justify="left" if not heading else "right", overflow="fold")
    table.add_row("", plain(kind["left"]), plain(kind["right"]), "")
    for group in ("parameters", "versions", "inputs"):
        for name, pair in kind[group].items():
            table.add_row(plain(name), *map(text_of, pair), "")
    for name, pair in kind["counts"].items():
        table.add_row(plain(name), *map(text_of, pair), difference_text(pair))
    for name, pair in kind["details"].items():
        if pair[0] != pair[1]:
            table.add_row(plain(name), *map(text_of, pair), difference_text(pair))
    return table


def text_of(value: Any) -> str:
    """A value as people read it; nothing where a side has none."""
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else plain(shown(value))


def difference_text(pair: Pair) -> str:
    """How much more the right side is, with its sign; nothing where it is as much."""
    more = difference(pair)
    if not more:
        return ""
    sign = "+" if more > 0 else ""
    return sign + text_of(more)


def print_crawl(crawl: dict[str, Any]) -> None:
    """The crawl files that one side alone was made from."""
    for side in ("left", "right"):
        for uri in crawl[side][:MOST_FILES]:
            out.print(f"crawl file of the {side} alone: {plain(uri)}")
        if len(crawl[side]) > MOST_FILES:
            out.print(f"and {len(crawl[side]) - MOST_FILES} more of the {side} alone")
