"""What the text of the tree must and must not hold."""

import ast
import re

from tests.contract.sources import REPOSITORY, calls, files, imports, modules

PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
REQUIREMENT = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,_-]+\])?==\S+( ;.*)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def lock() -> str:
    """The text of the lock file."""
    return (REPOSITORY / "requirements.lock").read_text()


def test_the_lock_holds_versions_and_hashes_and_no_address() -> None:
    entries = [
        line
        for line in lock().replace("\\\n", " ").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    assert len(entries) > 50
    for entry in entries:
        requirement, *hashes = re.split(r"\s+(?=--hash)", entry.strip())
        assert REQUIREMENT.fullmatch(requirement.strip()), entry[:120]
        assert hashes, requirement
        assert all(HASH.fullmatch(each.strip()) for each in hashes), requirement
    assert "://" not in lock()


def is_true(value: ast.expr | None) -> bool:
    """Whether an argument is the literal True."""
    return isinstance(value, ast.Constant) and value.value is True


def test_no_command_goes_through_a_shell() -> None:
    assert [
        (path, name) for path in modules() for name, given in calls(path) if "shell" in given
    ] == []


def test_nothing_is_pickled() -> None:
    assert [
        path for path in modules() if {name.split(".")[0] for name in imports(path)} & PICKLERS
    ] == []
    assert [
        (path, name)
        for path in modules()
        for name, given in calls(path)
        if is_true(given.get("allow_pickle"))
    ] == []


def test_torch_loads_weights_only() -> None:
    loads = [
        (path, given) for path in modules() for name, given in calls(path) if name == "torch.load"
    ]
    assert [path for path, given in loads if not is_true(given.get("weights_only"))] == []


def test_no_code_of_a_model_repository_is_run() -> None:
    assert [
        path
        for path in files()
        if path.endswith(".py")
        for _, given in calls(path)
        if "trust_remote_code" in given
    ] == []


def test_yaml_is_loaded_safely() -> None:
    assert [
        (path, name)
        for path in modules()
        for name, _ in calls(path)
        if name in ("yaml.load", "yaml.unsafe_load")
    ] == []


def test_nothing_stored_depends_on_the_process() -> None:
    assert [
        (path, name)
        for path in modules()
        for name, _ in calls(path)
        if name.endswith("monotonically_increasing_id") or name == "hash"
    ] == []


def test_tests_do_not_sleep() -> None:
    tests = [path for path in files() if path.startswith("tests/") and path.endswith(".py")]
    assert [
        (path, name) for path in tests for name, _ in calls(path) if name in ("time.sleep", "sleep")
    ] == []
