"""The manifest: pinned digests, a canonical form that folds nothing, and a text that is read back
whole or refused in one line."""

import dataclasses
import enum
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import GristmillError
from infra.manifest import (
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
        FileEntry("part-0.parquet", 10, "ab" * 32, 3),
        FileEntry("rejected/part-0.parquet", 5, "cd" * 32, 1),
    ]
    values: dict[str, Any] = {
        "format": 1,
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
    for change in ({"step": "other"}, {"version": 4}, {"parameters": {}}, {"inputs": {}}):
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
    assert Manifest.from_json(manifest().to_json(), "here") == manifest()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: b"",
        lambda text: b"\xff\xfe" + text,
        lambda text: b"[1, 2]",
        lambda text: b"null",
        lambda text: text.replace(b'"format": 1', b'"format": 2'),
        lambda text: text.replace(b'"counts"', b'"count"'),
        lambda text: text.replace(b'"sha256"', b'"sha1"'),
        lambda text: text.replace(b'"threshold": 0.8', b'"threshold": 0.9'),
        lambda text: text.replace(b'"version": 3', b'"version": "3"'),
    ],
)
def test_a_damaged_manifest_is_one_line_that_says_where(damage: Any) -> None:
    with pytest.raises(GristmillError, match=r"^s3://b/x/_MANIFEST\.json: ") as caught:
        Manifest.from_json(damage(manifest().to_json()), "s3://b/x/_MANIFEST.json")
    assert "\n" not in str(caught.value)


def test_rejected_rows_are_not_data() -> None:
    assert [entry.path for entry in manifest().data_files()] == ["part-0.parquet"]


def test_equal_results_have_equal_content_whatever_the_parts_are_called() -> None:
    files = manifest().files
    renamed = [dataclasses.replace(files[0], path="part-7.parquet"), files[1]]
    moved = [dataclasses.replace(files[0], path="rejected/part-1.parquet"), files[1]]
    assert content_of(renamed[::-1]) == content_of(files)
    assert content_of(moved) != content_of(files)


def test_a_lost_row_is_refused_with_the_numbers() -> None:
    Counts(10, 7, {"a": 1, "b": 2}).check("dedup")
    with pytest.raises(GristmillError, match="dedup: 10 rows in but 7 out \\+ 2 rejected"):
        Counts(10, 7, {"a": 2}).check("dedup")


def test_the_manifest_knows_code_and_tools() -> None:
    assert re.fullmatch(r"[0-9a-f]{12}\+?|", revision())
    assert {"python", "pyarrow"} <= tool_versions().keys()
