"""The manifest: pinned digests, a form that folds nothing, a text read back whole or refused."""

import dataclasses
import enum
import functools
import json
import math
import operator
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import GristmillError
from infra.manifest import (
    FORMAT,
    Counts,
    FileEntry,
    Identity,
    Manifest,
    canonical,
    content_of,
    digest_of,
    revision,
    tool_versions,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)

EXTRACT = Identity(
    "documents", "extract", 1, {"language": "en", "max_bytes": 5_000_000}, {"crawl": "0" * 64}
)
DEDUP = Identity(
    "dedup",
    "dedup",
    3,
    {"threshold": 0.8, "bands": [9, 13], "near": True, "note": None, "words": "Größe 文"},
    {"documents": EXTRACT.digest},
)

FOLDER = f"dedup/default/{DEDUP.digest[:12]}"


def no_list(name: str) -> list[FileEntry]:
    """For a manifest that holds its list of files."""
    raise AssertionError(f"{name} is asked for")


def typed(value: Any) -> Any:
    """A form that is equal for the same value of the same types only."""
    if isinstance(value, dict):
        return ("dict", frozenset((key, typed(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return ("list", tuple(typed(item) for item in value))
    return (
        (type(value).__name__, math.copysign(1, value), value)
        if isinstance(value, float)
        else (type(value).__name__, value)
    )


def shuffled(value: Any) -> Any:
    """The same value with the keys of each dict in reverse."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


def manifest(**changes: Any) -> Manifest:
    """A manifest whose digest is that of its fields."""
    files = [
        FileEntry("shards/extract/ab-1.parquet", 10, "ab" * 32, 3, shard=0),
        FileEntry("shards/extract/_rejected/ab-1.parquet", 5, "cd" * 32, 1, shard=0),
        FileEntry("shards/signatures/cd-1.parquet", 6, "ef" * 32, 3, shard=0, layer=-1),
        FileEntry(f"{FOLDER}/part-0.parquet", 7, "01" * 32, 2, shard=0, layer=1),
        FileEntry(f"{FOLDER}/_rejected/part-0.parquet", 8, "23" * 32, 1, shard=0, layer=1),
    ]
    values: dict[str, Any] = {
        "format": FORMAT,
        "kind": DEDUP.kind,
        "name": "default",
        **DEDUP.declared(),
        "digest": DEDUP.digest,
        "files": files,
        "content": content_of(files),
        "counts": Counts(4, 3, {"near_duplicate": 1}, {"bytes": 99}),
        "schema": [{"name": "text", "type": "string"}],
        "details": {"curve": [[1, 2.5, None]], "name": "Größe"},
    }
    return Manifest(**{**values, **changes})


def test_the_digests_are_pinned() -> None:
    assert digest_of("") == "12ae32cb1ec02d01eda3581b127c1fee3b0dc53572ed6baf239721a03d82e126"
    assert EXTRACT.digest == "0e39744ed1e0ea3224e258c2807e4fc5234ede4939bb63602e0d68cb0316dc80"
    assert DEDUP.digest == "2a3db1b3c63df3364c5bac50dc6ffdfebbaf18ac68014116f2ed34568780c94d"


def test_the_canonical_form_is_pinned() -> None:
    text = canonical({"b": [1, 1.0, 1e22, 1e-7, True, None], "a": {"ü": '\n"文'}})
    assert text == '{"a":{"ü":"\\n\\"文"},"b":[1,1.0,1e+22,1e-07,true,null]}'


def test_the_place_does_not_enter_the_digest_but_each_declared_field_does() -> None:
    assert dataclasses.replace(DEDUP, kind="clean").digest == DEDUP.digest
    changes: list[dict[str, Any]] = [
        {"step": "other"},
        {"version": 4},
        {"parameters": {}},
        {"inputs": {}},
    ]
    for change in changes:
        assert dataclasses.replace(DEDUP, **change).digest != DEDUP.digest


@given(VALUES)
def test_the_order_of_keys_does_not_matter(value: Any) -> None:
    assert canonical(shuffled(value)) == canonical(value)


@given(VALUES, VALUES)
def test_distinct_values_have_distinct_forms(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == (typed(one) == typed(other))


@given(VALUES)
def test_the_form_is_json_of_the_same_value(value: Any) -> None:
    assert typed(json.loads(canonical(value))) == typed(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0, False),
        (0.0, -0.0),
        (None, "null"),
        ("é", "e\u0301"),
        ("1", 1),
        ([], {}),
        ("", None),
    ],
)
def test_values_that_look_alike_differ(one: Any, other: Any) -> None:
    assert digest_of(one) != digest_of(other)
    assert digest_of({"key": [one]}) != digest_of({"key": [other]})


def test_a_tuple_is_a_list() -> None:
    assert canonical((1, (2,))) == canonical([1, [2]])


class Colour(enum.Enum):
    """Neither text nor number."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (math.nan, "$"),
        ({"a": [0.0, math.inf]}, "$.a[1]"),
        ({"a": {1, 2}}, "$.a"),
        ({"a": b"bytes"}, "$.a"),
        ({"a": {1: "x"}}, "$.a"),
        ([{None: 1}], "$[0]"),
        ([Colour.RED], "$[0]"),
        ({"a": object()}, "$.a"),
        ({"a": "half a pair \ud800"}, "$.a"),
        ({"\ud800": 1}, "$"),
    ],
)
def test_what_has_no_form_is_refused_with_its_place(value: Any, where: str) -> None:
    with pytest.raises(TypeError, match=re.escape(where) + ": "):
        digest_of(value)


def test_a_manifest_survives_its_json() -> None:
    assert Manifest.from_json(manifest().to_json(), "here", no_list) == manifest()


def test_a_manifest_survives_its_json_with_the_files_beside() -> None:
    text = manifest().to_json("_FILES.parquet")
    lists = {"_FILES.parquet": manifest().files}
    assert Manifest.from_json(text, "here", lists.__getitem__) == manifest()
    assert b"sha256" not in text


def test_a_damaged_list_beside_is_a_damaged_manifest() -> None:
    def damaged(name: str) -> list[FileEntry]:
        raise ValueError(f"{name} is missing")

    with pytest.raises(
        GristmillError, match=r"^here: damaged manifest \(_F is missing\); `gristmill run`"
    ):
        Manifest.from_json(manifest().to_json("_F"), "here", damaged)


def test_another_format_says_what_to_do() -> None:
    text = manifest(format=1).to_json()
    said = f"^here: manifest format 1, this version reads {FORMAT}: remove this lake, or name "
    with pytest.raises(GristmillError, match=said):
        Manifest.from_json(text, "here", no_list)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: b"",
        lambda text: b"\xff\xfe" + text,
        lambda text: b"[1, 2]",
        lambda text: b"null",
        lambda text: text.replace(b'"format": 3', b'"format": 1'),
        lambda text: text.replace(b'"files": [', b'"files": [7, '),
        lambda text: text.replace(b'"counts"', b'"count"'),
        lambda text: text.replace(b'"sha256"', b'"sha1"'),
        lambda text: text.replace(b'"threshold": 0.8', b'"threshold": 0.9'),
        lambda text: text.replace(b'"version": 3', b'"version": "3"'),
    ],
)
def test_a_damaged_manifest_is_one_line_that_says_where(damage: Any) -> None:
    with pytest.raises(GristmillError, match=r"^s3://b/x/_MANIFEST\.json: ") as caught:
        Manifest.from_json(damage(manifest().to_json()), "s3://b/x/_MANIFEST.json", no_list)
    assert "\n" not in str(caught.value)


def test_neither_rejected_rows_nor_what_was_made_on_the_way_are_data() -> None:
    assert [entry.path for entry in manifest().data_files()] == [
        "shards/extract/ab-1.parquet",
        f"{FOLDER}/part-0.parquet",
    ]


@pytest.mark.parametrize(
    ("path", "rejected"),
    [
        ("shards/extract/_rejected/ab-1.parquet", True),
        ("dedup/default/012345678901/_rejected/part-0.parquet", True),
        ("tokens/default/012345678901/_rejected/no-tokens/0.parquet", True),
        ("dedup/_rejected/012345678901/part-0.parquet", False),
        ("_rejected/default/012345678901/part-0.parquet", False),
        ("shards/_rejected/ab-1.parquet", False),
    ],
)
def test_rejected_rows_lie_in_a_folder_of_their_own(path: str, rejected: bool) -> None:
    assert FileEntry(path, 1, "ab").is_rejected == rejected
    assert FileEntry(path, 1, "ab").is_shard == path.startswith("shards/")


def test_equal_results_have_equal_content_whatever_their_files_are_called() -> None:
    def renamed(path: str) -> str:
        return path.replace("ab-1", "cd-2").replace("part-0", "part-7").replace("default", "other")

    files = manifest().files
    others = [dataclasses.replace(entry, path=renamed(entry.path)) for entry in files]
    assert content_of(others[::-1]) == content_of(files)


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("shards/extract/ab-1.parquet", "shards/filter/ab-1.parquet"),
        ("shards/extract/ab-1.parquet", "shards/extract/_rejected/ab-1.parquet"),
        ("dedup/default/ab/part-0.parquet", "dedup/default/ab/_rejected/part-0.parquet"),
        ("tokens/default/ab/train/0.parquet", "tokens/default/ab/val/0.parquet"),
    ],
)
def test_a_file_counts_with_its_kind(path: str, other: str) -> None:
    assert content_of([FileEntry(path, 1, "ab")]) != content_of([FileEntry(other, 1, "ab")])
    assert content_of([FileEntry(path, 1, "ab")]) != content_of([FileEntry(path, 1, "cd")])


COUNTS = st.builds(
    Counts,
    st.integers(0, 9),
    st.integers(0, 9),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)),
    st.dictionaries(st.sampled_from("xyz"), st.integers(0, 9)),
)


def test_counts_add_up_name_by_name() -> None:
    one = Counts(5, 3, {"short": 2}, {"tokens": 7})
    other = Counts(4, 1, {"short": 1, "long": 2}, {"bytes": 9})
    both = Counts(9, 4, {"long": 2, "short": 3}, {"bytes": 9, "tokens": 7})
    assert one + other == both
    assert list((one + other).rejected) == ["long", "short"]
    assert (one.rejected, other.rejected) == ({"short": 2}, {"short": 1, "long": 2})


@given(COUNTS, COUNTS, COUNTS)
def test_counts_may_be_added_in_any_order(one: Counts, two: Counts, three: Counts) -> None:
    assert (one + two) + three == one + (two + three)
    assert one + two == two + one
    assert one + Counts() == one


@given(st.lists(COUNTS))
def test_what_adds_up_in_parts_adds_up_together(parts: list[Counts]) -> None:
    def balanced(part: Counts) -> Counts:
        return dataclasses.replace(part, rows_in=part.rows_out + sum(part.rejected.values()))

    functools.reduce(operator.add, map(balanced, parts), Counts()).check("dedup")


def test_a_lost_row_is_refused_with_the_numbers() -> None:
    Counts(10, 7, {"a": 1, "b": 2}).check("dedup")
    with pytest.raises(GristmillError, match="dedup: 10 rows in but 7 out \\+ 2 rejected"):
        Counts(10, 7, {"a": 2}).check("dedup")


def test_the_manifest_knows_code_and_tools() -> None:
    assert re.fullmatch(r"[0-9a-f]{12}\+?|", revision())
    assert {"python", "pyarrow"} <= tool_versions().keys()
