"""Tables and words of Markdown."""

from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar or a line's end within a cell does not end it."""
    lines = [row_of(headings), row_of(["---"] * len(headings)), *map(row_of, rows)]
    return "\n".join(lines) + "\n"


def row_of(cells: Sequence[str]) -> str:
    """One line of a table."""
    escaped = (cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def code(text: str) -> str:
    """Text as it is typed, whatever signs it holds; nothing for nothing."""
    if not text:
        return ""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"
