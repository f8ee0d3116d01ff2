"""The house: nothing at the top level but what the design names; every file is one idea that says
what it is."""

import ast

from tests.contract.sources import PACKAGES, REPOSITORY, files, modules, tree

FOLDERS = {*PACKAGES, "tests", "docs", "examples", ".ci"}
TOP_FILES = {
    *("README.md", "LICENSE", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile"),
    "docker-compose.yml",
    "pyproject.toml",
    "requirements.lock",
    "prefect.yaml",
}
REQUIRED = {
    "README.md",
    "Makefile",
    "docker-compose.yml",
    "pyproject.toml",
    "requirements.lock",
    "prefect.yaml",
    ".ci/run",
}
MAX_LINES = 400
DATA = (
    ".parquet",
    ".gz",
    ".zst",
    ".npy",
    ".npz",
    ".pt",
    ".pth",
    ".pkl",
    ".safetensors",
    ".db",
    ".jar",
    ".whl",
)


def test_the_top_level_holds_what_the_design_names() -> None:
    folders = {path.split("/")[0] for path in files() if "/" in path}
    top = {path for path in files() if "/" not in path and not path.startswith(".")}
    assert folders - FOLDERS == set()
    assert top - TOP_FILES == set()


def test_what_a_newcomer_needs_is_there() -> None:
    assert REQUIRED - set(files()) == set()


def test_every_module_says_what_it_is_for() -> None:
    python = [
        *modules(),
        *(path for path in files() if path.startswith("tests/") and path.endswith(".py")),
    ]
    assert [path for path in python if not ast.get_docstring(tree(path))] == []


def test_every_public_function_and_class_is_documented() -> None:
    silent = [
        f"{path}:{node.lineno} {node.name}"
        for path in modules()
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_no_python_file_is_too_long_for_one_idea() -> None:
    lengths = {
        path: (REPOSITORY / path).read_text(encoding="utf-8").count("\n")
        for path in files()
        if path.endswith(".py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_tests_mirror_the_packages() -> None:
    folders = {
        path.split("/")[1] for path in files() if path.startswith("tests/") and path.count("/") > 1
    }
    assert folders - {*PACKAGES, "e2e", "contract", "benchmarks"} == set()


def test_no_data_and_no_built_file_is_in_the_tree() -> None:
    assert [path for path in files() if path.endswith(DATA)] == []
