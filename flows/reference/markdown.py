"""Tables and words of Markdown."""

import re
from collections.abc import Iterable, Sequence

from infra.show import printable


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar or a line's end within a cell does not end it."""
    lines = [row_of(headings), row_of(["---"] * len(headings)), *map(row_of, rows)]
    return "\n".join(lines) + "\n"


def row_of(cells: Sequence[str]) -> str:
    """One line of a table."""
    escaped = (cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def code(text: str) -> str:
    """Text as it is typed, whatever signs it holds, on one line; nothing for nothing."""
    if not text:
        return ""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{space}{printable(text)}{space}{fence}"
