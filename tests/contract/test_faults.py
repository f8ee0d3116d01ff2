"""The table of faults is true: every test that it names is there, and every row names one."""

import ast
import re

import pytest

from tests.contract.sources import REPOSITORY, files, tree

TABLE = REPOSITORY / "docs" / "faults.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows() -> list[str]:
    """The table's rows, without headings."""
    lines = TABLE.read_text().splitlines()
    told = [line for line in lines if line.startswith("|") and not line.startswith("|---")]
    return [line for line in told if not line.startswith("| done |")]


def test_every_row_says_what_was_done_what_happens_and_which_test_does_it() -> None:
    assert len(rows()) > 40
    for row in rows():
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 3, row
        assert all(cells), row
        assert NAMED.match(cells[2]), row


@pytest.mark.parametrize("named", sorted({match for row in rows() for match in NAMED.findall(row)}))
def test_a_named_test_is_there(named: tuple[str, str]) -> None:
    path, test = named
    assert path in files()
    if test:
        functions = {node.name for node in tree(path).body if isinstance(node, ast.FunctionDef)}
        assert test in functions
    else:
        assert path.removesuffix(".py").replace("/", ".") in (REPOSITORY / "Makefile").read_text()
