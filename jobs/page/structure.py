"""What makes an HTML parser slow or large, counted before it begins.

In: markup. Out: nothing, or OverTime or OverMemory with what was counted. Linear, on text alone:
the same page is judged the same everywhere. Tags are found by patterns, not parsed: what hides
from these counts meets the budget of `jobs.page.reading`.

Measured on resiliparse 2.0.1: the walk for the main content costs 50 ns for each element that is
open at each tag (20,000 nested `div`: 8 s), the parser time quadratic in the attributes of an
element (20,000: 0.7 s) and in the options of a page (8,000: 1 s; 100,000: minutes), and 400 bytes
an element. The limits are where that is about 2 s and 1 GB. The 4,177 real pages that they were
held against have at most a tenth of each, most of them a thousandth.
"""

import re
from collections.abc import Iterator
from itertools import accumulate

from infra.bounded import OverMemory, OverTime

MAX_TAGS = 1_000_000
MAX_NESTING = 50_000_000
"""Sum over all tags of the number of elements that are open there."""
MAX_OPTIONS = 10_000
MAX_ATTRIBUTES = 10_000
"""Of all start tags that are long."""
LONG_TAG_CHARS = 20_000
FEW_TAGS = 10_000
"""So many can reach neither MAX_NESTING (their square, halved) nor MAX_OPTIONS."""

VOID = "area base br col embed hr img input link meta param source track wbr"
ENDED_BY_OTHERS = (
    "p li dt dd tr td th thead tbody tfoot colgroup option optgroup rp rt html head body"
)
UNNESTED = frozenset([*VOID.split(), *ENDED_BY_OTHERS.split()])
"""Elements without content, and those that do not pile up where their end tags are left out."""
TAG = re.compile("</?[A-Za-z][^ \t\n\r\f/>]*")
RAW = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|textarea|title)\b.*?(?:</\1|\Z)", re.IGNORECASE | re.DOTALL
)
"""What holds no tags, whatever it looks like."""
START_TAG = re.compile("<[A-Za-z]")
ATTRIBUTE = re.compile(r"""[^ \t\n\r\f=>"'/]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^ \t\n\r\f>]+))?""")


def check_structure(html: str) -> None:
    """Raises OverTime or OverMemory for markup that is built like an attack on its parser."""
    tags = html.count("<") if len(html) > FEW_TAGS else 0
    if tags > MAX_TAGS:
        raise OverMemory(f"{tags} tags; at most {MAX_TAGS} are read")
    counted = _over_limit(html, tags)
    # Scripts look like anything; they are cut out of the few pages where that may matter.
    if counted and (counted := _over_limit(RAW.sub("", html), tags)):
        raise OverTime(counted)


def _over_limit(html: str, tags: int) -> str:
    """What is counted beyond its limit; empty where nothing is."""
    attributes = sum(len(ATTRIBUTE.findall(html, *tag)) for tag in _long_tags(html))
    if attributes > MAX_ATTRIBUTES:
        return f"{attributes} attributes in long tags; at most {MAX_ATTRIBUTES} are read"
    if tags <= FEW_TAGS:
        return ""
    names = TAG.findall(html)
    seen = set(names)
    options = sum(names.count(name) for name in seen if name.lower() == "<option")
    if options > MAX_OPTIONS:
        return f"{options} options; at most {MAX_OPTIONS} are read"
    steps = {
        name: 0 if name.strip("</").lower() in UNNESTED else -1 if name.startswith("</") else 1
        for name in seen
    }
    opened = list(accumulate(map(steps.__getitem__, names), initial=0))
    # End tags of nothing count down in vain: the lowest point stands for zero.
    nesting = sum(opened) - len(opened) * min(opened)
    if nesting > MAX_NESTING:
        return f"{nesting} open elements, summed over all tags; at most {MAX_NESTING} are read"
    return ""


def _long_tags(html: str) -> Iterator[tuple[int, int]]:
    """Where start tags of at least LONG_TAG_CHARS are, none of them holding a `>`.

    Such a tag has an aligned block of half that size without `>`: a few looks at each page find
    those that have none.
    """
    block, at = LONG_TAG_CHARS // 2, 0
    while at + block <= len(html):
        if html.find(">", at, at + block) >= 0:
            at += block
            continue
        start = html.rfind(">", 0, at) + 1
        end = html.find(">", at)
        end = len(html) if end < 0 else end
        tag = START_TAG.search(html, start, end)
        if tag and end - tag.start() >= LONG_TAG_CHARS:
            yield tag.start() + 1, end
        at = -(-end // block) * block
