"""Progress while the command works: a bar on a terminal, a line every ten seconds elsewhere. What
it says is `flows.running.pace`'s."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from flows.running.children import Follow, damage_said
from flows.running.pace import Pace, Teller
from infra.show import printable


class Numbers(ProgressColumn):
    """Done, rate, time left."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.pace = pace

    def render(self, task: Task) -> Text:
        """The numbers at this moment."""
        return Text(self.pace.numbers())


@contextlib.contextmanager
def follower(quiet: bool, console: Console) -> Iterator[Follow]:
    """Shows the child that is running; `quiet`: nothing."""
    pace = Pace()
    if quiet:
        yield lambda event: None
    elif console.is_terminal:
        with bar(pace, console) as shown:
            yield shown
    else:
        with Teller(pace, said):

            def follow(event: dict[str, Any]) -> None:
                pace.take(event)
                if event["event"] == "damaged":
                    said(damage_said(event))

            yield follow


def said(line: str) -> None:
    """A line of progress where there is no terminal: beside what is said of finished steps, as
    standard error is for failures alone."""
    sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def bar(pace: Pace, console: Console) -> Iterator[Follow]:
    """One bar, of the part that goes on."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        Numbers(pace),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        shown = progress.add_task("", total=None, visible=False)

        def follow(event: dict[str, Any]) -> None:
            pace.take(event)
            progress.tasks[0].total = pace.total or None  # None: it only shows that it moves
            name = escape(printable(pace.name()))
            progress.update(shown, description=name, completed=pace.done, visible=bool(pace.step))
            if event["event"] == "damaged":
                progress.console.print(f"[yellow]{escape(printable(damage_said(event)))}[/]")

        yield follow
