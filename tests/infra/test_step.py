"""Steps and tasks: a task's identity follows from its declaration and survives its request."""

import dataclasses
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra import manifest
from infra.crawl import Source
from infra.errors import UsageError
from infra.lake import Artifact, Lake
from infra.lake.shards import ShardMap
from infra.manifest import Counts
from infra.parameters import option, parameters
from infra.step import Launch, Step, Task, summary


@parameters
class Threshold:
    """Parameters of the step under test."""

    threshold: float = option(0.8, "similarity", ge=0, le=1)
    bands: tuple[int, int] = option((9, 13), "bands and rows")
    partitions: int = option(0, "tasks", identity=False)


STEP = Step(
    name="dedup",
    kind="dedup",
    version=1,
    help="Drop documents that are there already.",
    parameters=Threshold,
    reads=("documents",),
    module="jobs.dedup",
    launch=Launch.SPARK,
)


def task(lake: Lake, digest: str = "a" * 64, **values: Any) -> Task:
    """A task of the step with one input."""
    return Task(
        STEP,
        lake,
        "default",
        Threshold(**values),
        {"documents": Artifact(lake.root, "documents", "default", digest)},
    )


def test_a_task_knows_its_artifact_without_running(lake: Lake) -> None:
    assert task(lake).artifact.manifest() is None
    assert task(lake).artifact.uri == f"{lake.root}/dedup/default/{task(lake).identity.digest[:12]}"


def test_the_identity_follows_parameters_and_inputs_but_no_places(
    lake: Lake, tmp_path: Path
) -> None:
    digest = task(lake).identity.digest
    assert task(Lake.at(str(tmp_path / "elsewhere"))).identity.digest == digest
    assert task(lake, partitions=8).identity.digest == digest
    assert task(lake, threshold=0.7).identity.digest != digest
    assert task(lake, digest="b" * 64).identity.digest != digest


def test_the_identity_follows_the_libraries_that_shape_the_result(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = task(lake).identity
    shaped = dataclasses.replace(
        task(lake), step=dataclasses.replace(STEP, libraries=("resiliparse",))
    )
    before = shaped.identity
    assert before.libraries == {"resiliparse": metadata.version("resiliparse")}
    monkeypatch.setattr(manifest, "_version_of", lambda library: "99.1")
    assert shaped.identity.libraries == {"resiliparse": "99.1"}
    assert len({plain.digest, before.digest, shaped.identity.digest}) == 3
    assert task(lake).identity == plain


def test_the_identity_follows_the_crawl_wherever_it_lies(lake: Lake) -> None:
    def digest(*sources: Source) -> str:
        return Task(STEP, lake, "default", Threshold(), crawl=sources).identity.digest

    one, other = (
        Source("/a/x.warc", "x.warc", 3, "c1", "web"),
        Source("/a/y.warc", "y.warc", 4, "c2", "web"),
    )
    moved = (
        Source("s3://b/y.warc", "y.warc", 4, "c2", "web"),
        Source("s3://b/x.warc", "x.warc", 3, "c1", "web"),
    )
    assert digest(one, other) == digest(*moved)
    assert len({digest(one), digest(other), digest(one, other), digest(one, one)}) == 4


def test_a_step_plays_its_kind_unless_it_names_a_role() -> None:
    assert STEP.plays == "dedup"
    assert dataclasses.replace(STEP, role="documents").plays == "documents"


def test_a_step_has_no_maps_unless_it_says_so(lake: Lake) -> None:
    shard_map = ShardMap("signatures", 1, {}, (), pa.schema([]), iter)
    assert STEP.maps(task(lake)) == ()
    with_maps = dataclasses.replace(STEP, maps=lambda task: (shard_map,))
    assert with_maps.maps(task(lake)) == (shard_map,)
    assert with_maps == STEP


def test_a_task_survives_its_request(lake: Lake) -> None:
    sent = Task(
        STEP,
        lake,
        "name",
        Threshold(threshold=1e-3, partitions=3),
        task(lake).inputs,
        (Source("/a/x.warc", "x.warc", 3, "c1", "web"),),
    )
    received = Task.from_request(STEP, json.loads(json.dumps(sent.request())))
    assert received == sent
    assert received.identity.digest == sent.identity.digest


def test_a_request_with_a_wrong_key_is_one_line(lake: Lake) -> None:
    request = task(lake).request()
    request["parameters"]["treshold"] = 1
    with pytest.raises(UsageError, match=r"unknown key 'dedup\.treshold'; nearest: 'threshold'"):
        Task.from_request(STEP, request)


def test_the_summary_has_the_fields_of_every_step_and_no_detail_hides_them(lake: Lake) -> None:
    work = task(lake)
    writer = lake.begin(work.identity, work.name)
    made = writer.commit(
        Counts(3, 2, {"near": 1}, {"bytes": 9}),
        details={"name": "x", "val_loss": 1.5, "curve": [[1, 2]]},
    )
    printed = summary(work, made, hit=True)
    expected = {
        "kind": "dedup",
        "name": "default",
        "digest": made.digest[:12],
        "path": work.artifact.uri,
        "hit": True,
        "rows_in": 3,
    }
    assert printed == {
        **expected,
        "rows_out": 2,
        "rejected": {"near": 1},
        "seconds": 0.0,
        "bytes": 9,
        "val_loss": 1.5,
    }
    assert json.loads(json.dumps(printed)) == printed
