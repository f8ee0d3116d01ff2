"""Mutated real pages through the whole way of a record: none raises, none is lost, none stalls.

    python -m tests.benchmarks.bench_mutated [PAGES] [SEED]

Documentation pages of installed packages, and crawl files beside this checkout where there are
some, each damaged by one to four of MUTATIONS, are read in a page's child as `extract` does. Prints
one JSON object: rows by reason, the slowest page's processor seconds, pages a processor second.
Exit code 1 where a row is missing, `failed`, or slower than its budget.
"""

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.usage import usage
from jobs.crawl import MAX_PAGE_BYTES, Origin, Record, records
from jobs.crawl.record import FAILED
from jobs.page.document import document
from jobs.page.documentation import chosen, modules, rendered
from jobs.page.reading import PAGE_BUDGET, page_reader

CRAWL = Path(__file__).parents[3] / "shared/data/crawl"
DOCUMENTED = 200
ORIGIN = Origin("mutated", "mutated", bytes(8))
CHARSETS = ("utf-8", "utf-16", "windows-1252", "gb18030", "iso-2022-jp", "undefined", "idna", "")
Mutation = Callable[[bytes, random.Random], bytes]


def flip(page: bytes, draw: random.Random) -> bytes:
    """One byte in a hundred is another."""
    made = bytearray(page)
    for _ in range(len(page) // 100):
        made[draw.randrange(len(made))] = draw.randrange(256)
    return bytes(made)


def cut(page: bytes, draw: random.Random) -> bytes:
    """The page ends early."""
    return page[: draw.randrange(len(page) + 1)]


def move(page: bytes, draw: random.Random) -> bytes:
    """A part of it stands elsewhere."""
    start, end = sorted(draw.randrange(len(page) + 1) for _ in range(2))
    left = page[:start] + page[end:]
    place = draw.randrange(len(left) + 1)
    return left[:place] + page[start:end] + left[place:]


def repeat(page: bytes, draw: random.Random) -> bytes:
    """A short part stands there many times, within a page's limit."""
    start = draw.randrange(len(page) + 1)
    part = page[start : start + draw.randrange(1, 400)]
    return (page[:start] + part * draw.randrange(2, 2000) + page[start:])[:MAX_PAGE_BYTES]


def unclose(page: bytes, draw: random.Random) -> bytes:
    """One kind of end tag is missing."""
    return page.replace(draw.choice((b"</div>", b"</a>", b"</td>", b"</table>", b"</script>")), b"")


def unquote(page: bytes, draw: random.Random) -> bytes:
    """A quotation mark in ten is missing."""
    pieces = page.split(b'"')
    return b"".join(p + (b'"' if draw.random() > 0.1 else b"") for p in pieces)


MUTATIONS: tuple[Mutation, ...] = (flip, cut, move, repeat, unclose, unquote)


def real_pages() -> list[bytes]:
    """Pages that nobody wrote for this."""
    pages = [
        page.encode()
        for part, _ in rendered(chosen(modules(), DOCUMENTED, 0), MAX_PAGE_BYTES)
        for page in part.values()
    ]
    for file in sorted(CRAWL.glob("web-*.warc.gz")):
        pages += [each.payload for each in records(str(file)) if each.payload]
    return pages


def mutated(pages: list[bytes], count: int, draw: random.Random) -> Iterator[Record]:
    """Records of mutated pages."""
    for number in range(count):
        page = draw.choice(pages)
        for mutate in draw.sample(MUTATIONS, draw.randrange(1, 5)):
            page = mutate(page, draw) if page else page
        charset = draw.choice(CHARSETS)
        yield Record(
            number, number, "response", "https://example.org/", None, "text/html", charset, page
        )


def main(count: int, seed: int) -> int:
    """Read them all; the exit code."""
    read = page_reader(PAGE_BUDGET)
    reasons: Counter[str] = Counter()
    slowest, began = 0.0, usage()[0]
    for record in mutated(real_pages(), count, random.Random(seed)):
        before = usage()[0]
        row = document(record, ORIGIN, 1, read)
        slowest = max(slowest, usage()[0] - before)
        reasons[row["reject_reason"] or "kept"] += 1
    found = {
        "rows": dict(reasons),
        "slowest_cpu_seconds": round(slowest, 2),
        "pages_a_cpu_second": round(count / (usage()[0] - began), 1),
    }
    sys.stdout.write(json.dumps(found) + "\n")
    # A page over its budget is read twice: the second time in a child that had no other.
    too_slow = slowest > 3 * PAGE_BUDGET.cpu_seconds
    return int(too_slow or sum(reasons.values()) != count or FAILED in reasons)


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]]
    sys.exit(main(*(numbers + [10_000, 0][len(numbers) :])))
