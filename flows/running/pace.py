"""How far a step is, in words: part, done of total, rate, time left. The same words on the terminal
and in Prefect's log.

In: the events of a step's child. `started` (step), `ended`, `progress` (done, total, and where a
step has parts or a unit: part, number, of, unit; total 0: nobody knows), `metric` (numbers). Rate
and time left are those of the part that goes on, over its last RECENT_SECONDS. `Teller` says a line
every TOLD_SECONDS as long as the step works, whether events come or not: nothing is silent for
longer.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from types import TracebackType
from typing import Any

from infra.crawl import telling
from infra.show import duration

RECENT_SECONDS = 60.0
POINT_SECONDS = 1.0
CRAWL_FILES = "crawl files"
FIRST_SECONDS = 2.0
TOLD_SECONDS = 10.0
SHOWN = {"train_loss": "loss", "val_loss": "val loss", "tokens_per_second": "tokens/s"}
"""Metrics that a reader of the progress wants beside it."""
Clock = Callable[[], float]
Point = tuple[float, int]
"""When, and how much was done by then."""
WATCHER: ContextVar[Callable[[dict[str, Any]], None] | None] = ContextVar("watcher", default=None)
"""Who else follows the steps of a flow."""


@contextmanager
def watched_by(follow: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Within the block, the events of a flow's steps go to `follow` too."""
    before = WATCHER.set(follow)
    try:
        yield
    finally:
        WATCHER.reset(before)


class Pace:
    """What the events so far say. `clock`: seconds."""

    def __init__(self, step: str = "", clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.part: tuple[str, int, int] = ("", 1, 1)
        self.metrics: dict[str, float] = {}
        self.seen: tuple[Point, ...] = ()  # another thread reads it: replaced, never changed
        self._begin(step)

    def take(self, event: dict[str, Any]) -> None:
        """An event of the step's child; others than those above say nothing here."""
        if event["event"] == "started":
            self._begin(str(event["step"]))
        elif event["event"] == "ended":
            self._begin("")
        elif event["event"] == "metric":
            self.metrics |= {name: event[name] for name in SHOWN if name in event}
        elif event["event"] == "progress":
            part = str(event.get("part", "")), event.get("number", 1), event.get("of", 1)
            if part != self.part:
                self.part, self.metrics, self.seen = part, {}, ()
            self.done, self.total = event["done"], event["total"]
            self.unit = str(event.get("unit", ""))
            self.seen = recent(self.seen, self.clock(), self.done)

    def _begin(self, step: str) -> None:
        self.step, self.since = step, self.clock()
        self.part = "", 1, 1
        self.done, self.total, self.unit = 0, 0, ""
        self.metrics, self.seen = {}, ()

    @property
    def rate(self) -> float:
        """Units a second; 0 where nothing can be said yet."""
        seen = self.seen
        if len(seen) < 2:
            return 0.0
        (first, before), (_, now) = seen[0], seen[-1]
        seconds = self.clock() - first
        return max(0.0, (now - before) / seconds) if seconds > 0 else 0.0

    @property
    def share(self) -> float:
        """How much of the step is done, 0 to 1, its parts taken as equally long."""
        _, number, of = self.part
        here = self.done / self.total if self.total else 0.0
        return float(min(1.0, (number - 1 + min(1.0, here)) / of))

    def name(self) -> str:
        """The step, and which part of it goes on."""
        name, number, of = self.part
        said = f" {number}/{of}" if of > 1 else ""
        return f"{self.step}{said}{' ' if name else ''}{name}"

    def numbers(self) -> str:
        """Done, rate and time left, or at least for how long the step has been at work."""
        if not self.total:
            return f"at work for {duration(self.clock() - self.since)}"
        said = [f"{self.done:,} of {self.total:,} {self.unit}".rstrip()]
        if self.rate:
            said.append(f"{per_second(self.rate)}")
            said.append(f"{duration((self.total - self.done) / self.rate)} left")
        else:
            said.append(f"at work for {duration(self.clock() - self.since)}")
        said += [f"{SHOWN[name]} {value:,.4g}" for name, value in self.metrics.items()]
        return ", ".join(said)

    def line(self) -> str:
        """Both."""
        return f"{self.name()}: {self.numbers()}"


def crawl_files(follow: Callable[[dict[str, Any]], None]) -> AbstractContextManager[None]:
    """Within the block, the reading of crawl files that the lake does not remember is followed."""
    follow({"event": "started", "step": CRAWL_FILES})

    def told(done: int, total: int) -> None:
        fields = {"step": CRAWL_FILES, "done": done, "total": total, "unit": "files"}
        follow({"event": "progress", **fields})

    return telling(told)


def recent(seen: tuple[Point, ...], now: float, done: int) -> tuple[Point, ...]:
    """The points of the last RECENT_SECONDS with a new one, at most one a second."""
    kept = [point for point in seen if now - point[0] <= RECENT_SECONDS] or list(seen[-1:])
    if len(kept) > 1 and now - kept[-2][0] < POINT_SECONDS:
        kept.pop()
    return (*kept, (now, done))


def per_second(rate: float) -> str:
    """2.13 -> `2.1/s`; 0.25 -> `4.0 s each`."""
    return f"{rate:,.1f}/s" if rate >= 1 else f"{duration(1 / rate)} each"


class Teller:
    """Says where a pace is, from a thread of its own, while the block runs."""

    def __init__(self, pace: Pace, say: Callable[[str], None]) -> None:
        self.pace, self.say = pace, say
        self._ended = threading.Event()
        # In the context of the block: there Prefect's log finds the run's own server.
        tell = partial(copy_context().run, self._tell)
        self._thread = threading.Thread(target=tell, name="teller", daemon=True)

    def __enter__(self) -> "Teller":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _tell(self) -> None:
        seconds = FIRST_SECONDS
        while not self._ended.wait(seconds):
            seconds = TOLD_SECONDS
            if self.pace.step:
                self.say(self.pace.line())
