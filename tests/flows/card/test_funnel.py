"""The funnel: stages that add up, from the manifests of the steps alone."""

from hypothesis import given
from hypothesis import strategies as st

from flows.card.funnel import funnel
from infra.lake import Artifact, Lake
from infra.manifest import Counts, Identity, Manifest
from tests.flows.card.lakes import extracted, make, parts, rows, tokenized


def manifest(counts: Counts) -> Manifest:
    """A manifest without files."""
    identity = Identity("documents", "extract", 1, {}, {})
    return Manifest(
        1, "documents", "default", "extract", 1, identity.digest, {}, {}, [], "", counts
    )


def test_reasons_are_sorted_by_rows_then_by_name_and_empty_ones_left_out() -> None:
    rejected = {"short": 2, "late": 0, "empty": 5, "bad": 2}
    (stage,) = funnel([("extract", manifest(Counts(10, 1, rejected)))]).stages
    assert stage.reasons == (("empty", 5), ("bad", 2), ("short", 2))
    assert stage.rejected == 9


def test_a_stage_that_begins_with_other_rows_than_the_one_before_left_is_not_joined() -> None:
    one, two, three = (manifest(Counts(n, n)) for n in (5, 5, 4))
    stages = funnel([("extract", one), ("filter", two), ("dedup", three)]).stages
    assert [stage.joined for stage in stages] == [True, True, False]


def test_a_stages_bytes_in_are_those_that_the_stage_before_left(lake: Lake) -> None:
    tokens, _ = tokenized(lake)
    made = [("extract", extracted(lake).require()), ("tokenize", tokens.require())]
    found = funnel(made)
    assert [(stage.bytes_in, stage.bytes) for stage in found.stages] == [
        (90_000, 9_000),
        (9_000, 7_000),
    ]
    assert (found.measure, found.most_bytes) == ("of text", 90_000)
    assert [stage.bytes_read for stage in found.stages] == [80_000, None]


def test_bytes_are_those_stored_where_a_step_did_not_count_its_text(lake: Lake) -> None:
    crawl = {"crawl": Artifact(lake.root, "crawl", "default", "c" * 64)}
    counts = Counts(6, 5, {"empty": 1}, {"bytes_text": 99})
    files = parts(5, rows(1, "empty"))
    documents = make(lake, "documents/extract", crawl, counts, files, {})
    inputs = {"documents": documents}
    clean = make(lake, "clean/filter", inputs, Counts(5, 5), parts(5, []), {})
    made = [(a.kind, a.require()) for a in (documents, clean)]
    found = funnel(made)
    assert found.measure == "stored"
    assert [stage.bytes for stage in found.stages] == [
        m.data_files()[0].size_bytes for _, m in made
    ]


def test_no_steps_are_an_empty_funnel() -> None:
    found = funnel([])
    assert (found.stages, found.seen, found.kept, found.rejected, found.most_bytes) == (
        (),
        0,
        0,
        0,
        0,
    )


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9)), max_size=5))
def test_what_is_seen_is_kept_or_rejected_in_steps_that_join(drops: list[dict[str, int]]) -> None:
    left = seen = sum(sum(rejected.values()) for rejected in drops) + 3
    made = []
    for rejected in drops:
        dropped = sum(rejected.values())
        made.append(("step", manifest(Counts(left, left - dropped, rejected))))
        left -= dropped
    found = funnel(made)
    assert all(stage.joined for stage in found.stages)
    assert all(s.rows_in == s.rows_out + s.rejected for s in found.stages)
    if drops:
        assert found.seen == seen == found.kept + found.rejected
