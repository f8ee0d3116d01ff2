"""Real pages without a download: the documentation of Python's standard library and of installed
packages, as `pydoc` shows it.

Thousands of pages with real boilerplate, natural duplicates and near-duplicates. They are rendered
in child processes (`jobs.page.rendering`): a module that fails to import, hangs or takes its
process with it is counted. A page follows from the installed versions alone.
"""

import hashlib
import importlib.util
import json
import pkgutil
import sys
import sysconfig
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from infra.errors import GristmillError
from infra.process import run as run_child
from jobs.page.rendering import ENVIRONMENT

LIBRARIES = (
    *("aiohttp", "anyio", "click", "docker", "fontTools", "fsspec", "graphql", "httpx"),
    *("hypothesis", "jinja2", "jsonschema", "matplotlib", "networkx", "numpy", "pip", "pygments"),
    *("requests", "rich", "scipy", "setuptools", "sklearn", "urllib3", "werkzeug", "yaml"),
)
"""Installed packages that import quickly and explain themselves; missing ones are left out."""
SKIPPED = {
    *("antigravity", "this", "idlelib", "turtledemo", "turtle", "lib2to3", "tkinter", "msilib"),
    *("test", "tests", "testing", "conftest", "benchmarks", "__main__", "__pycache__", "_vendor"),
    *("ensurepip", "externals", "array_api_compat", "array_api_extra"),
}
"""Modules with side effects, tests, copies of other packages."""
CHILDREN = 2
PARTS = 16
IMPORT_FAILED, CRASHED, TOO_LARGE = "import_failed", "crashed", "too_large"
REASONS = {
    IMPORT_FAILED: "the module cannot be imported here, or pydoc raised an error on it",
    CRASHED: "the module ended the process that imported it",
    TOO_LARGE: "its page is larger than the limit",
}
"""Why a module has no page."""


def modules() -> list[str]:
    """The names of all modules that can be documented, sorted; nothing is imported."""
    found = {
        name for name in sys.stdlib_module_names if name not in SKIPPED and not name.startswith("_")
    }
    folders = [(Path(sysconfig.get_path("stdlib"), name), name) for name in sorted(found)]
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is not None:
            found.add(name)
            folders += [(Path(folder), name) for folder in spec.submodule_search_locations or []]
    for folder, name in folders:
        found.update(below(folder, name))
    return sorted(found)


def below(folder: Path, package: str) -> Iterator[str]:
    """The modules in a package's folder and its subfolders."""
    for info in pkgutil.iter_modules([str(folder)]):
        if info.name in SKIPPED or info.name.startswith("test_"):
            continue
        name = f"{package}.{info.name}"
        yield name
        if info.ispkg:
            yield from below(folder / info.name, name)


def chosen(names: list[str], pages: int, seed: int) -> list[str]:
    """`pages` of the names, by a seeded hash of the name, sorted."""

    def rank(name: str) -> bytes:
        return hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()

    return sorted(sorted(names, key=rank)[:pages])


def rendered(
    names: list[str], max_page_bytes: int
) -> Iterator[tuple[dict[str, str], Counter[str]]]:
    """The pages of these modules, some at a time: ({module: HTML}, {reason: modules without one}),
    the reasons being REASONS."""
    size = max(1, -(-len(names) // PARTS))
    parts = [names[start : start + size] for start in range(0, len(names), size)]
    with (
        tempfile.TemporaryDirectory(prefix="gristmill-sample-") as folder,
        ThreadPoolExecutor(CHILDREN) as pool,
    ):
        render = partial(render_part, folder=Path(folder), max_page_bytes=max_page_bytes)
        yield from pool.map(render, parts)


def render_part(
    names: list[str], folder: Path, max_page_bytes: int
) -> tuple[dict[str, str], Counter[str]]:
    """Pages by module and failures by reason. A child that dies is started again behind the module
    that killed it."""
    pages: dict[str, str] = {}
    failures: Counter[str] = Counter()
    left = names
    while left:
        request = folder / f"{uuid.uuid4().hex}.json"
        request.write_text(json.dumps(left), encoding="utf-8")
        command = [sys.executable, "-m", "jobs.page.rendering", str(request)]
        seen = 0
        try:
            for event in run_child(command, request.with_suffix(".log"), "sample", ENVIRONMENT):
                seen += 1
                if event["event"] != "page":
                    failures[IMPORT_FAILED] += 1
                elif event["bytes"] > max_page_bytes:
                    failures[TOO_LARGE] += 1
                else:
                    pages[event["module"]] = Path(event["file"]).read_text(encoding="utf-8")
            failures[CRASHED] += len(left) - seen
            break
        except GristmillError:
            failures[CRASHED] += 1
            left = left[seen + 1 :]
    return pages, +failures
