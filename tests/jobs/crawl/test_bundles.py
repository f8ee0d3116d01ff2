"""Bundles: which crawl files are worked on together, and that one file more changes little."""

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.crawl import Source
from jobs.crawl.bundles import SMALL_BYTES, SPLIT_BYTES, Bundle, bundles


def source(number: int, size_bytes: int = 10_000) -> Source:
    """A crawl file that is not there; small ones are never opened."""
    name = f"page-{number:06d}.html"
    content = hashlib.sha256(f"{number} {size_bytes}".encode()).hexdigest()
    return Source(f"/crawl/{name}", name, size_bytes, content, "web")


def names(found: list[Bundle]) -> list[tuple[str, ...]]:
    """The names of the files of each bundle."""
    return [tuple(piece.source.name for piece in bundle.pieces) for bundle in found]


sizes = st.integers(0, 3 * SMALL_BYTES)
crawls = st.dictionaries(st.integers(0, 10**6), sizes, max_size=80).map(
    lambda drawn: [source(number, size) for number, size in drawn.items()]
)


@given(crawls, st.randoms())
@settings(deadline=None)
def test_every_file_is_in_one_bundle_and_the_order_given_does_not_matter(
    crawl: list[Source], random: Random
) -> None:
    found = bundles(crawl)
    assert sorted(name for each in names(found) for name in each) == sorted(s.name for s in crawl)
    shuffled = list(crawl)
    random.shuffle(shuffled)
    assert bundles(shuffled) == found


@given(crawls.filter(bool), st.data())
@settings(deadline=None)
def test_one_small_file_more_or_less_touches_two_bundles_at_most(
    crawl: list[Source], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(crawl))
    before = {json.dumps(bundle.identity()) for bundle in bundles(crawl)}
    after = {json.dumps(bundle.identity()) for bundle in bundles([s for s in crawl if s != gone])}
    assert len(before - after) <= 2
    assert len(after - before) <= 2


def test_many_small_files_become_bundles_of_a_size_worth_a_task() -> None:
    found = bundles([source(number) for number in range(20_000)])
    assert 10 <= len(found) <= 100
    assert sum(bundle.size_bytes for bundle in found) == 20_000 * 10_000


def test_a_large_file_is_alone() -> None:
    crawl = [source(1, 10), source(2, SMALL_BYTES), source(3, 10)]
    assert ("page-000002.html",) in names(bundles(crawl))


def test_what_a_bundle_is_does_not_depend_on_where_its_files_lie() -> None:
    here = [source(number) for number in range(50)]
    there = [replace(s, uri=f"s3://bucket/{s.name}") for s in here]
    assert [b.identity() for b in bundles(here)] == [b.identity() for b in bundles(there)]


def test_a_file_of_the_same_name_and_other_content_is_another_bundle() -> None:
    one, other = source(1), replace(source(1), content="0" * 64)
    assert bundles([one])[0].identity() != bundles([other])[0].identity()


def test_the_same_file_in_two_places_is_there_twice(tmp_path: Path) -> None:
    content = hashlib.sha256(b"x").hexdigest()
    here = tmp_path / "rows.jsonl"
    with here.open("wb") as stream:
        stream.write(b'{"text": "x"}\n')
        stream.truncate(3 * SPLIT_BYTES)
    size = here.stat().st_size
    gone = str(tmp_path / "gone" / "rows.jsonl")
    uris = (str(here), gone)
    crawl = [Source(uri, here.name, size, content, "web", copy) for copy, uri in enumerate(uris)]
    found = bundles(crawl)
    assert [bundle.pieces[0].source.uri for bundle in found].count(str(here)) == 3
    assert [bundle.pieces[0].source.uri for bundle in found].count(gone) == 1
    assert len({json.dumps(bundle.identity()) for bundle in found}) == len(found)


def test_a_large_jsonl_file_is_cut_into_parts_that_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("wb") as stream:
        stream.write(b'{"text": "x"}\n')
        stream.truncate(2 * SPLIT_BYTES + 5)
    size = path.stat().st_size
    found = bundles([Source(str(path), path.name, size, "0" * 64, "web")])
    parts = [piece.part for bundle in found for piece in bundle.pieces]
    assert None not in parts
    bounds = [(part.start, part.end) for part in parts if part]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == size
    assert all(end == start for (_, end), (start, _) in pairwise(bounds))
    assert len({json.dumps(bundle.identity()) for bundle in found}) == len(found)


def test_no_files_are_no_bundles() -> None:
    assert bundles([]) == []
