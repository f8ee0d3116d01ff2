"""A page's bytes to its text: in this process, or in one that has a budget.

In: payload, declared charset, whether it is HTML. Out: a `Page`. `read_page` does it, as a pure
function; `PageReader` has a child process do it, because native parsers cannot be interrupted and
can end their process. Each of Spark's workers keeps one child for all pages.

The same page gives the same result everywhere: what makes the parser slow is counted first, with
fixed limits (`jobs.page.structure`). The budget is the net below: of 4,183 real pages none needs
more than 0.05 s and 40 MB.

    python -m jobs.page.reading CPU_SECONDS MEMORY_BYTES        the child
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from infra.bounded import Bounded, Budget, serve
from jobs.page.main_content import main_content
from jobs.page.structure import check_structure
from jobs.text.charset import decode

PAGE_BUDGET = Budget(cpu_seconds=10.0, memory_bytes=1 << 30)


@dataclass(frozen=True, slots=True)
class Page:
    """What was read.

    title      of an HTML page
    text       main content of an HTML page, else all of it
    charset    what it was decoded by
    extractor  `resiliparse` for main content, `verbatim` for all of it
    """

    title: str | None
    text: str
    charset: str
    extractor: str


Read = Callable[[bytes, str, bool], Page]


def read_page(payload: bytes, charset: str, is_html: bool) -> Page:
    """The page of this payload; `charset` is the declared one, or empty. Raises OverTime or
    OverMemory for a page that is not worth trying."""
    text, charset = decode(payload, charset)
    if not is_html:
        return Page(None, text, charset, "verbatim")
    check_structure(text)
    title, text = main_content(text)
    return Page(title, text, charset, "resiliparse")


class PageReader:
    """`read_page` in a child process."""

    def __init__(self, budget: Budget) -> None:
        self._child = Bounded("jobs.page.reading", budget)

    def __call__(self, payload: bytes, charset: str, is_html: bool) -> Page:
        """As `read_page`. Raises OverTime, OverMemory or Crashed also for what happens on the
        way."""
        parts = self._child.ask(payload, _bytes(charset), b"html" if is_html else b"")
        text, charset, extractor, *title = map(_text, parts)
        return Page(title[0] if title else None, text, charset, extractor)


@cache
def page_reader(budget: Budget) -> PageReader:
    """This process's reader with that budget."""
    return PageReader(budget)


# The pipes would be shared with the fork: each would get the other's answers.
os.register_at_fork(after_in_child=page_reader.cache_clear)


def _answer(parts: list[bytes]) -> Sequence[bytes]:
    payload, charset, kind = parts
    page = read_page(payload, _text(charset), bool(kind))
    title = [] if page.title is None else [_bytes(page.title)]
    return [_bytes(page.text), _bytes(page.charset), _bytes(page.extractor), *title]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


if __name__ == "__main__":
    serve(_answer)
