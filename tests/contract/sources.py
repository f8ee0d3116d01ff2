"""The files of the checkout and what the packages' sources import and call, for the contract
tests."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("flows", "infra", "jobs", "model")


@cache
def files() -> tuple[str, ...]:
    """Paths of all tracked files and of those that could be (not ignored), relative to the
    checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = (
        subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
        .stdout.decode()
        .split("\0")
    )
    return tuple(sorted(path for path in listed if path and (REPOSITORY / path).exists()))


def modules() -> list[str]:
    """Paths of the packages' Python files."""
    return [path for path in files() if path.endswith(".py") and path.split("/")[0] in PACKAGES]


@cache
def tree(path: str) -> ast.Module:
    """The parsed source of a file."""
    return ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))


def imports(path: str) -> set[str]:
    """Dotted names of the modules that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(path.split("/")[: -node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            found |= {module, *(f"{module}.{name.name}" for name in node.names)}
    return found


def calls(path: str) -> Iterator[tuple[str, dict[str, ast.expr]]]:
    """Dotted name and keyword arguments of each call in a file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield (
                ast.unparse(node.func),
                {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg},
            )
