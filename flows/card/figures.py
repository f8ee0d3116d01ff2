"""Figures of the report card: numbers as people read them, and curves as points of an inline SVG. Pure functions."""

import json
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

MOST_POINTS = 300


def scaled(value: float, units: Sequence[str] = ("", "k", "M", "B", "T")) -> str:
    """Three digits and a unit: 1234567 -> `1.23 M`; whole numbers under a thousand as they are."""
    power = next((p for p in range(len(units) - 1, 0, -1) if value >= 999.5 * 1000 ** (p - 1)), 0)
    value = value / 1000**power
    digits = (
        0 if value >= 99.95 or (not power and value == int(value)) else 1 if value >= 9.995 else 2
    )
    return f"{value:.{digits}f} {units[power]}".rstrip()


def duration(seconds: float) -> str:
    """4.21 -> `4.2 s`; 83.2 -> `1 min 23 s`; 3725.0 -> `1 h 02 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    big, small, names = (
        (*divmod(round(seconds), 60), "min s")
        if seconds < 3599.5
        else (*divmod(round(seconds / 60), 60), "h min")
    )
    return f"{big} {names.split()[0]} {small:02d} {names.split()[1]}"


def share(part: float, whole: float) -> str:
    """Percent of a whole; a part that is small but not nothing never reads as 0 %."""
    percent = 100 * part / whole if whole else 0.0
    return "< 0.1 %" if 0 < percent < 0.1 else f"{percent:.1f} %"


FILTERS: dict[str, Callable[..., str]] = {
    "count": "{:,.0f}".format,
    "score": "{:.4f}".format,
    "scaled": scaled,
    "size": partial(scaled, units=("B", "kB", "MB", "GB", "TB")),
    "duration": duration,
    "share": share,
    "quote": shlex.quote,
    "dump": partial(json.dumps, indent=2, ensure_ascii=False),
}


def ticks(low: float, high: float) -> list[float]:
    """Two to eight round numbers, 1, 2 or 5 times a power of ten apart, that enclose [low, high]."""
    raw = ((high - low) or abs(high) or 1.0) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    unit = next(u * power for u in (1, 2, 5, 10) if u * power >= raw * (1 - 1e-9))
    return [
        round(n * unit, 12)
        for n in range(math.floor(low / unit + 1e-9), math.ceil(high / unit - 1e-9) + 1)
    ]


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MOST_POINTS points, each the mean of an equally long run."""
    length = -(-len(points) // MOST_POINTS) or 1
    runs = [points[i : i + length] for i in range(0, len(points), length)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def line_plot(series: Mapping[str, Sequence[tuple[float, float | None]]]) -> dict[str, Any] | None:
    """Lines by name as points in percent of the plot's box, (0, 0) at the top left, with the ticks of both axes; None for no line.

    The x axis begins at 0. Values that are missing or not finite are left out.
    """
    finite = {
        name: [(float(x), y) for x, y in points if y is not None and math.isfinite(y)]
        for name, points in series.items()
    }
    lines = {name: thinned(points) for name, points in finite.items()}
    xs, ys = ([point[axis] for points in lines.values() for point in points] for axis in (0, 1))
    if len(set(xs)) < 2:
        return None
    y_ticks = ticks(min(ys), max(ys))
    left, top = min(0.0, *xs), y_ticks[-1]
    width, height = max(xs) - left, (top - y_ticks[0]) or 1.0
    return {
        "lines": {
            name: [
                (round(100 * (x - left) / width, 2), round(100 * (top - y) / height, 2))
                for x, y in points
            ]
            for name, points in lines.items()
        },
        "x_ticks": [
            (round(100 * (x - left) / width, 2), f"{x:,.10g}")
            for x in ticks(left, max(xs))
            if left <= x <= max(xs)
        ],
        "y_ticks": [(round(100 * (top - y) / height, 2), f"{y:g}") for y in y_ticks],
    }
