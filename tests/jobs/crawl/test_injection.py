"""A page cannot make records: what its body holds never becomes a document of its own, whatever
the archive's compression, the page's size and the record's length."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from jobs.crawl import Record, archives, framing
from tests.jobs.crawl.archive_files import (
    COMPRESSIONS,
    WRITER,
    arc_record,
    outcome,
    read,
    warc_record,
)

HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body><p>A page.\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
EVIL = "https://evil.example/666"
FOREIGN = warc_record(666).replace(b"https://example.org/666", EVIL.encode())
FOREIGN_ARC = arc_record(666).replace(b"http://example.org/666", EVIL.encode())
Container = Callable[[list[bytes]], bytes]


def whole(compression: str) -> Container:
    """All records in one member."""
    return lambda parts: COMPRESSIONS[compression](b"".join(parts))


def each(compression: str) -> Container:
    """A member a record."""
    return lambda parts: b"".join(map(COMPRESSIONS[compression], parts))


BY_RECORD: dict[str, Container] = {f"{name} by record": each(name) for name in COMPRESSIONS}
IN_ONE: dict[str, Container] = {"plain": b"".join, "gz": whole("gz"), "zst": whole("zst")}
CONTAINERS = BY_RECORD | IN_ONE


def kept_urls(found: list[Record]) -> set[str]:
    """The documents."""
    return {r.url for r in found if r.reason is None}


def padded(size: int) -> bytes:
    """A page with records before, among and behind `size` bytes of its own."""
    return HTML + FOREIGN + b"y" * size + b"\r\n\r\n" + FOREIGN + FOREIGN


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("size", [100, 1 << 22])
def test_nothing_begins_inside_a_length_that_is_true(
    tmp_path: Path, container: str, size: int
) -> None:
    parts = [warc_record(0), warc_record(1, block=padded(size)), warc_record(2)]
    found = read(tmp_path, CONTAINERS[container](parts))
    assert outcome(found) == ["0", "1" if size == 100 else "too_large", "2"]
    assert found[1].size == len(padded(size))


@pytest.mark.parametrize("container", ["gz by record", "zst by record", "plain", "gz", "zst"])
@pytest.mark.parametrize("megabytes", [40, 130])
def test_nor_inside_one_that_is_longer_than_what_is_held_in_memory(
    tmp_path: Path, container: str, megabytes: int
) -> None:
    parts = [warc_record(0), warc_record(1, block=padded(megabytes << 20)), warc_record(2)]
    assert outcome(read(tmp_path, CONTAINERS[container](parts))) == ["0", "too_large", "2"]


@pytest.mark.parametrize("container", ["gz by record", "plain", "gz"])
@pytest.mark.parametrize("size", [100, 40 << 20])
def test_nor_in_an_arc_file(tmp_path: Path, container: str, size: int) -> None:
    body = FOREIGN_ARC + b"y" * size + b"\n" + FOREIGN_ARC
    parts = [arc_record(0), arc_record(1, body=body), arc_record(2)]
    found = read(tmp_path, CONTAINERS[container](parts), "x.arc")
    assert outcome(found) == ["0", "1" if size == 100 else "too_large", "2"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_nor_in_chunks(tmp_path: Path, container: str) -> None:
    block = CHUNKED + b"%x\r\n" % len(FOREIGN) + FOREIGN + b"\r\n0\r\n\r\n" + FOREIGN
    parts = [warc_record(0), warc_record(1, block=block), warc_record(2)]
    assert outcome(read(tmp_path, CONTAINERS[container](parts))) == ["0", "1", "2"]


WRONG = {
    "a little too long": lambda n: n + 7,
    "too long": lambda n: n + 500,
    "longer than the file": lambda n: 10**15,
    "too short": lambda n: n - len(FOREIGN) - 20,
    "too short, up to a header": lambda n: n - len(FOREIGN),
    "much too short": lambda n: 40,
}


PARTS = [FOREIGN, HTML, b"\r\n", b"\r\n\r\n", b"WARC/1.0\r\n", b"<p>text", bytes(70)]
PARTS += [COMPRESSIONS[name](FOREIGN) for name in ("gz", "zst", "lz4")]
bodies = st.lists(st.sampled_from(PARTS), max_size=12).map(lambda parts: HTML + b"".join(parts))
often = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@often
@given(body=bodies, container=st.sampled_from(sorted(CONTAINERS)))
def test_no_body_whatever_makes_a_record(tmp_path: Path, body: bytes, container: str) -> None:
    parts = [warc_record(0), warc_record(1, block=body), warc_record(2)]
    found = read(tmp_path, CONTAINERS[container](parts))
    assert [r.url.rsplit("/", 1)[-1] for r in found] == ["0", "1", "2"]
    assert found[1].size == len(body)


@often
@given(body=bodies, length=st.integers(0, 9999), container=st.sampled_from(sorted(CONTAINERS)))
def test_no_wrong_length_makes_a_document_of_a_body_where_records_name_their_warcinfo(
    tmp_path: Path, body: bytes, length: int, container: str
) -> None:
    in_one = container in IN_ONE
    assume(not (in_one and body[length:].lstrip(b"\r\n").startswith(b"WARC/")))
    parts = [warc_record(n, writer=WRITER) for n in (0, 2)]
    page = warc_record(1, block=body, length=length, writer=WRITER)
    found = read(tmp_path, CONTAINERS[container]([*parts, page, *parts]))
    assert EVIL not in kept_urls(found)
    assert kept_urls(found) >= {"https://example.org/0", "https://example.org/2"}


OTHERS = (0, 3, *range(4, 9))


def with_wrong_length(folder: Path, container: str, wrong: str, writer: str = "") -> list[Record]:
    """What is read of a file in which one page holds records and its own has a wrong length."""
    block = HTML + FOREIGN + b"<p>and so on\r\n\r\n" + FOREIGN
    page = warc_record(1, block=block, length=WRONG[wrong](len(block)), writer=writer)
    others = [warc_record(n, writer=writer) for n in OTHERS]
    return read(folder, CONTAINERS[container]([*others[:2], page, *others[2:]]))


@pytest.mark.parametrize("container", BY_RECORD)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_length_in_a_member_of_its_own_costs_one_record(
    tmp_path: Path, container: str, wrong: str
) -> None:
    found = kept_urls(with_wrong_length(tmp_path, container, wrong))
    assert found - {"https://example.org/1"} == {f"https://example.org/{n}" for n in OTHERS}


@pytest.mark.parametrize("container", IN_ONE)
@pytest.mark.parametrize("wrong", [name for name in WRONG if "up to a header" not in name])
def test_where_records_name_their_warcinfo_a_wrong_length_costs_one_record(
    tmp_path: Path, container: str, wrong: str
) -> None:
    found = kept_urls(with_wrong_length(tmp_path, container, wrong, WRITER))
    assert found - {"https://example.org/1"} == {f"https://example.org/{n}" for n in OTHERS}


@pytest.mark.parametrize("container", IN_ONE)
@pytest.mark.parametrize("wrong", [name for name in WRONG if "short" not in name])
def test_where_they_do_not_nothing_in_a_length_that_is_too_long_becomes_a_document(
    tmp_path: Path, container: str, wrong: str
) -> None:
    found = with_wrong_length(tmp_path, container, wrong)
    assert EVIL in {r.url for r in found} and EVIL not in kept_urls(found)
    assert kept_urls(found) >= {"https://example.org/0", "https://example.org/3"}


@pytest.mark.parametrize("container", IN_ONE)
@pytest.mark.parametrize("wrong", ["too short", "much too short"])
def test_what_lies_behind_a_length_that_is_too_short_is_marked(
    tmp_path: Path, container: str, wrong: str
) -> None:
    found = with_wrong_length(tmp_path, container, wrong)
    assert {r.truncated for r in found if r.url == EVIL and not r.reason} == {"recovered"}


def test_a_request_that_names_the_record_with_the_wrong_length_is_proof(tmp_path: Path) -> None:
    page = warc_record(1, block=HTML + FOREIGN, length=10**9)
    request = warc_record(2, "request", b"GET / HTTP/1.1\r\n\r\n").replace(
        b"WARC-Date", b"WARC-Concurrent-To: <urn:uuid:%s>\r\nWARC-Date" % str(UUID(int=1)).encode()
    )
    found = read(tmp_path, b"".join([warc_record(0), page, request, *map(warc_record, (3, 4))]))
    assert outcome(found) == ["0", "damaged", "damaged", "not_a_response", "3", "4"]


@pytest.mark.parametrize("container", BY_RECORD)
def test_a_file_of_members_with_one_and_with_two_records_is_read_whole(
    tmp_path: Path, container: str
) -> None:
    pack = COMPRESSIONS[container.split()[0]]
    records = [warc_record(n, writer=WRITER) for n in range(7)]
    data = b"".join(map(pack, [*records[:4], records[4] + records[5], records[6]]))
    assert outcome(read(tmp_path, data)) == list("0123456")
    pairs = [warc_record(0), *(warc_record(n) + warc_record(n + 1) for n in (1, 3, 5))]
    assert outcome(read(tmp_path, b"".join(map(pack, pairs)))) == list("0123456")


@pytest.mark.parametrize("container", CONTAINERS)
def test_nor_does_a_page_whose_record_was_cut(tmp_path: Path, container: str) -> None:
    block = HTML + FOREIGN + b"y" * 5000 + b"\r\n\r\n" + FOREIGN + b"y" * 5000
    page = warc_record(1, block=block, length=len(block))
    data = CONTAINERS[container]([warc_record(0), warc_record(3), page])
    for cut in (10, 300, 3000):
        assert EVIL not in kept_urls(read(tmp_path, data[: len(data) - cut]))


@pytest.mark.parametrize("container", BY_RECORD)
def test_nor_one_with_a_broken_member_that_holds_members_of_its_own(
    tmp_path: Path, container: str
) -> None:
    compress = COMPRESSIONS[container.split()[0]]
    stored = HTML + compress(FOREIGN) * 3
    members = [compress(warc_record(n, writer=WRITER)) for n in range(6)]
    page = bytearray(compress(warc_record(1, block=stored, writer=WRITER)))
    page[12] ^= 0xFF
    found = read(tmp_path, b"".join([*members[:2], bytes(page), *members[2:]]))
    assert EVIL not in kept_urls(found)
    assert kept_urls(found) >= {f"https://example.org/{n}" for n in range(6)}


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\x1e", "\r"])
def test_no_sign_in_a_url_ends_a_header_line(tmp_path: Path, sign: str) -> None:
    block = HTML + FOREIGN
    page = warc_record(1, block=block)
    url = f"https://example.org/1?{sign}Content-Length: {len(HTML)}"
    page = page.replace(b"https://example.org/1", url.encode())
    found = read(tmp_path, warc_record(0) + page + warc_record(2))
    assert [r.url for r in found] == ["https://example.org/0", url, "https://example.org/2"]
    assert found[1].size == len(block)


@pytest.mark.parametrize("container", ["gz by record", "zst by record", "lz4 by record"])
@pytest.mark.parametrize("wrong", [700, -700])
def test_wrong_lengths_of_pages_larger_than_memory_cost_themselves_however_many(
    tmp_path: Path, container: str, wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "WINDOW_BYTES", 1 << 20)
    monkeypatch.setattr(framing, "LOOK_BYTES", 1 << 20)
    block = HTML + b"y" * (16 << 20)
    pages = [warc_record(100 + n, block=block, length=len(block) + wrong) for n in range(12)]
    parts = [part for n, page in enumerate(pages) for part in (page, warc_record(n))]
    found = read(tmp_path, CONTAINERS[container](parts))
    assert kept_urls(found) == {f"https://example.org/{n}" for n in range(12)}
    assert {
        r.detail for r in found if "ends within" in r.detail or "not followed" in r.detail
    } == set()
