"""Figures of the report card: numbers as people read them, and the loss curve as a picture.

Pure functions. The curve is one SVG for the card and for Prefect's page: the same points give the
same bytes, and its colours hold on a light and on a dark ground.
"""

import base64
import io
import json
import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from infra.manifest import SHORT
from infra.show import duration

MOST_POINTS = 300
SIZE_INCHES = (9.8, 3.3)
INK, LINES, TRAINING, VALIDATION = "#758084", "#7580843a", "#93a3a8", "#36917f"


def scaled(value: float, units: Sequence[str] = ("", "k", "M", "B", "T")) -> str:
    """Three digits and a unit: 1234567 -> `1.23 M`; whole numbers under a thousand as they are."""
    power = next((p for p in range(len(units) - 1, 0, -1) if value >= 999.5 * 1000 ** (p - 1)), 0)
    value = value / 1000**power
    digits = (
        0 if value >= 99.95 or (not power and value == int(value)) else 1 if value >= 9.995 else 2
    )
    return f"{value:.{digits}f} {units[power]}".rstrip()


def share(part: float, whole: float) -> str:
    """Percent of a whole; a part that is small but not nothing never reads as 0 %."""
    percent = 100 * part / whole if whole else 0.0
    return "< 0.1 %" if 0 < percent < 0.1 else f"{percent:.1f} %"


def short(digest: str) -> str:
    """The digits of a digest that people and folders use."""
    return digest[:SHORT]


FILTERS: dict[str, Callable[..., str]] = {
    "count": "{:,.0f}".format,
    "score": "{:.4f}".format,
    "scaled": scaled,
    "size": partial(scaled, units=("B", "kB", "MB", "GB", "TB")),
    "duration": duration,
    "share": share,
    "short": short,
    "quote": shlex.quote,
    "dump": partial(json.dumps, indent=2, ensure_ascii=False),
}


def loss_curve(curve: Sequence[tuple[int, float, float | None]]) -> bytes:
    """Training and validation loss [nats per token] over optimizer steps, as an SVG.

    curve: (step, training loss, validation loss or None where it was not measured). Losses that
    are not finite are left out; a longer line is drawn through MOST_POINTS means at most. Empty
    where fewer than two steps are left.
    """
    training = finite((step, loss) for step, loss, _ in curve)
    validation = finite((step, loss) for step, _, loss in curve)
    if len({step for step, _ in (*training, *validation)}) < 2:
        return b""
    # imported here: the command imports this module for its numbers, and matplotlib takes a second
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with rc_context({"svg.hashsalt": "gristmill", "svg.fonttype": "path", "font.size": 9.5}):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.subplots()
        for points, label, colour, width, marker in (
            (training, "training", TRAINING, 1.3, ""),
            (validation, "validation", VALIDATION, 1.9, "o"),
        ):
            means = thinned(points)
            axes.plot(
                [step for step, _ in means],
                [loss for _, loss in means],
                label=label,
                color=colour,
                linewidth=width,
                marker=marker if len(means) <= 50 else "",
                markersize=4.5,
            )
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("optimizer step", color=INK)
        axes.set_ylabel("loss [nats per token]", color=INK)
        axes.grid(axis="y", color=LINES, linewidth=0.8)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelcolor=INK)
        axes.legend(frameon=False, labelcolor=INK)
        picture = io.BytesIO()
        undated = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(picture, format="svg", transparent=True, metadata=undated)
    return picture.getvalue()


def data_uri(svg: bytes) -> str:
    """An SVG as the address of an image."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def finite(points: Iterable[tuple[int, float | None]]) -> list[tuple[float, float]]:
    """The points that have a finite value."""
    return [(x, y) for x, y in points if y is not None and math.isfinite(y)]


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MOST_POINTS points, each the mean of an equally long run."""
    length = -(-len(points) // MOST_POINTS) or 1
    runs = [points[i : i + length] for i in range(0, len(points), length)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]
