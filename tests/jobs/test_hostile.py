"""Hostile inputs: each ends in rows with known reasons, within bounds of processor time and memory.

Every input is a crawl file, taken through the whole way of its records in a process of its own,
so that the growth of memory is its own. The bounds are several times what was measured.
"""

import gzip
import io
import json
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.jobs.crawl.archive_files import warc_record

SCRIPT = """
import collections, json, sys
from infra.usage import usage
from jobs.crawl import MAX_PAGE_BYTES, Origin, records
from jobs.page.document import document
from jobs.page.reading import PAGE_BUDGET, page_reader

read = page_reader(PAGE_BUDGET)
read(b"<p>x", "", True)
cpu_seconds, peak_bytes = usage()
reasons = collections.Counter(
    document(record, Origin("x", "x", bytes(8)), 1, read)["reject_reason"] or "kept"
    for record in records(sys.argv[1], MAX_PAGE_BYTES)
)
after = usage()
print(json.dumps([reasons, after[0] - cpu_seconds, after[1] - peak_bytes]))
"""
MIB = 1 << 20
HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
TEXT = "A good page after the bad one. "


class Row(NamedTuple):
    """A hostile file, its rows by reason, and what it may cost."""

    make: Callable[[], bytes]
    rows: dict[str, int]
    cpu_seconds: float
    growth_mib: int
    name: str = "x.warc"


def page(html: str) -> bytes:
    """A crawl of a page and a good one behind it."""
    good = HTML + b"\r\n<p>" + TEXT.encode() * 9
    return warc_record(1, block=HTML + b"\r\n" + html.encode()) + warc_record(2, block=good)


def encoded(coding: str, body: bytes) -> bytes:
    """A crawl of one response with that coding."""
    return warc_record(1, block=HTML + f"Content-Encoding: {coding}\r\n\r\n".encode() + body)


def nested(body: bytes, number: int) -> bytes:
    """The body in so many gzip streams, one in another."""
    for _ in range(number):
        body = gzip.compress(body, 0)
    return body


def one_value(size: int, rows: int) -> bytes:
    """A Parquet table with one value in its dictionary and so many rows."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["a" * size]))
    out = io.BytesIO()
    table = pa.table({"text": text})
    pq.write_table(table, out, compression="zstd", dictionary_pagesize_limit=1 << 30)
    return out.getvalue()


def brotli_zeros() -> bytes:
    """100 MB of zeros as fastwarc reads Brotli: meta-blocks that repeat one letter."""
    brotli = pytest.importorskip("brotli")
    return bytes(brotli.compress(bytes(100 * MIB)))


def runs(head: bytes, number: int) -> bytes:
    """Zstandard: a frame with that beginning, one of so many blocks of 128 KiB in 4 bytes each
    (RFC 8878, 3.1.1.2: RLE blocks)."""
    blocks = [(n == number - 1) | 1 << 1 | 1 << 20 for n in range(number)]
    runs = b"".join(block.to_bytes(3, "little") + b"a" for block in blocks)
    return zstandard.compress(head) + b"\x28\xb5\x2f\xfd\x00\x38" + runs


def chunked(size: int, number: int) -> bytes:
    """A response of so many chunks of that size."""
    chunk = b"%x\r\n%s\r\n" % (size, b"a" * size)
    head = HTML + b"Transfer-Encoding: chunked\r\n\r\n<p>"
    return warc_record(1, block=head[:-3] + chunk * number + b"0\r\n\r\n")


def attributes(number: int) -> str:
    """An element with so many different attributes."""
    return "<div " + " ".join(f"a{n}=1" for n in range(number)) + ">x</div>"


SLOW = {"kept": 1, "too_slow": 1}
LARGE = {"kept": 1, "too_much_memory": 1}
ROWS = {
    "20,000 nested elements": Row(
        lambda: page("<div>" * 20_000 + "x" + "</div>" * 20_000), SLOW, 5, 100
    ),
    "nesting in capitals": Row(lambda: page("<DIV>" * 20_000), SLOW, 5, 100),
    "deep, then wide": Row(lambda: page("<div>" * 1000 + "<i>x</i>" * 100_000), SLOW, 5, 200),
    "end tags of nothing first": Row(
        lambda: page("</b>" * 50_000 + "<div>" * 20_000), SLOW, 5, 100
    ),
    "100,000 attributes": Row(lambda: page(attributes(100_000)), SLOW, 5, 100),
    "attributes with the sign that ends a tag": Row(
        lambda: page("<div " + " ".join(f"a{n}='>'" for n in range(200_000)) + ">x"), SLOW, 60, 300
    ),
    "100,000 options": Row(lambda: page("<select>" + "<option>x" * 100_000), SLOW, 5, 200),
    "1,500,000 tags": Row(lambda: page("<b>" * 1_500_000), LARGE, 5, 200),
    "500,000 elements": Row(lambda: page("<p>y" * 500_000), {"kept": 2}, 30, 900),
    "a gzip bomb": Row(
        lambda: encoded("gzip", gzip.compress(bytes(200 * MIB))), {"too_large": 1}, 5, 200
    ),
    "a gzip bomb in a gzip bomb": Row(
        lambda: encoded("gzip, gzip", gzip.compress(gzip.compress(bytes(200 * MIB)))),
        {"too_large": 1},
        5,
        200,
    ),
    "a deflate bomb": Row(
        lambda: encoded("deflate", zlib.compress(bytes(200 * MIB))), {"too_large": 1}, 5, 200
    ),
    "a brotli bomb": Row(lambda: encoded("br", brotli_zeros()), {"too_large": 1}, 5, 200),
    "a file that is a gzip bomb": Row(
        lambda: (
            gzip.compress(warc_record(1, block=HTML + b"\r\n" + bytes(200 * MIB)))
            + gzip.compress(warc_record(2))
        ),
        {"too_large": 1, "kept": 1},
        10,
        500,
        "x.warc.gz",
    ),
    "200 KB that are 6.5 GB": Row(
        lambda: runs(b"WARC/1.0\r\nWARC-Type: response\r\n", 50_000),
        {"damaged": 2},
        15,
        500,
        "x.warc.zst",
    ),
    "200 KB that are a line of 6.5 GB": Row(
        lambda: runs(b'{"text": "', 50_000), {"damaged": 1}, 5, 200, "x.jsonl.zst"
    ),
    "1,000,000 chunks": Row(lambda: chunked(1, 1_000_000), {"kept": 1}, 10, 500),
    "a chunk that says it has 4 GB": Row(
        lambda: warc_record(
            1, block=HTML + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n<p>short"
        ),
        {"damaged": 1},
        5,
        100,
    ),
    "100,000 tiny records": Row(
        lambda: warc_record(1, kind="metadata", block=b"x") * 100_000,
        {"not_a_response": 100_000},
        60,
        200,
    ),
    "a length that is too long": Row(
        lambda: warc_record(1, length=10**15) + warc_record(2), {"damaged": 2}, 5, 100
    ),
    "a URL of 1 MB": Row(
        lambda: json.dumps({"url": "http://a.example/" + "a/" * 500_000, "text": TEXT}).encode(),
        {"kept": 1},
        5,
        100,
        "x.jsonl",
    ),
    "a host of 120,000 marks": Row(
        lambda: json.dumps({"url": "http://a" + "\u0300\u0316" * 60_000, "text": TEXT}).encode(),
        {"kept": 1},
        5,
        100,
        "x.jsonl",
    ),
    "a line of 13,000,000 empty lists": Row(
        lambda: b'{"text":"x","z":[' + b"[]," * 13_000_000 + b"[]]}",
        {"too_much_memory": 1},
        5,
        200,
        "x.jsonl",
    ),
    "500 encodings": Row(
        lambda: encoded(",".join(["gzip"] * 500), nested(b"a" * MIB, 500)), {"damaged": 1}, 5, 100
    ),
    "3 KB of Parquet that are 25 GB": Row(
        lambda: one_value(100 * MIB, 256), {"too_large": 10, "damaged": 246}, 10, 900, "x.parquet"
    ),
    "9 MB of gzip magics": Row(
        lambda: b"\x1f\x8b\x08" * 3_000_000, {"damaged": 1}, 5, 100, "x.warc.gz"
    ),
    "9 MB of gzip headers": Row(
        lambda: b"\x1f\x8b\x08\0\0\0\0\0\0\xff" * 900_000, {"damaged": 1}, 30, 100, "x.warc.gz"
    ),
    "9 MB of zstd magics": Row(
        lambda: b"\x28\xb5\x2f\xfd" * 2_250_000, {"damaged": 1}, 5, 100, "x.warc.zst"
    ),
    "9 MB of lz4 magics": Row(
        lambda: b"\x04\x22\x4d\x18" * 2_250_000, {"damaged": 1}, 5, 100, "x.warc.lz4"
    ),
    "noise": Row(lambda: page(random.Random(1).randbytes(MIB).hex()), {"kept": 2}, 5, 100),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_hostile_input_costs_little_and_keeps_the_count(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    file = tmp_path / row.name
    file.write_bytes(row.make())
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows, cpu_seconds, growth_bytes = json.loads(done.stdout)
    assert rows == row.rows
    assert cpu_seconds < row.cpu_seconds
    assert growth_bytes / MIB < row.growth_mib


def test_a_line_of_150_mb_is_one_row(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    with file.open("wb") as out:
        out.write(b'{"text": "')
        for _ in range(150):
            out.write(b"a" * MIB)
        out.write(b'"}\n{"text": "next"}\n')
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(file)], capture_output=True, text=True, check=True
    )
    rows, cpu_seconds, growth_bytes = json.loads(done.stdout)
    assert rows.pop("kept") == 1 and sum(rows.values()) == 1
    assert cpu_seconds < 10 and growth_bytes < 300 * MIB
