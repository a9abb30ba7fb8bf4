"""Plots as small inline SVG. Colours become CSS variables: one plot serves light pages, dark pages and paper."""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

INK, MUTED, GRID, ACCENT, SECOND = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "line", ACCENT: "accent", SECOND: "second"}
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "affinage",
    "text.parse_math": False,
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "path.simplify": True,
}
MOST = 500  # points of a line that a plot shows


@dataclass(frozen=True, slots=True)
class Bar:
    """One measured value with its bounds (None: not known); `role` is before, after or baseline."""

    name: str
    value: float
    low: float | None
    high: float | None
    role: str


def forest(bars: Sequence[Bar], label: str) -> str:
    """Values with their intervals, one a line, the first on top. The axis need not start at zero: nothing is filled."""
    with _figure(6.0, 0.62 + 0.36 * len(bars)) as (axes, svg):
        for place, bar in enumerate(bars):
            colour = {"after": ACCENT, "before": MUTED}.get(bar.role, SECOND)
            if bar.low is not None and bar.high is not None:
                axes.plot([bar.low, bar.high], [place, place], color=colour, linewidth=5, alpha=0.4)
            axes.plot([bar.value], [place], "o", color=colour, markersize=7)
            axes.annotate(
                f"{bar.value:.3f}", (bar.value, place), (0, 7), textcoords="offset points", ha="center", fontsize=9
            )
        axes.set_yticks(range(len(bars)), [_short(bar.name) for bar in bars])
        axes.set_ylim(len(bars) - 0.5, -0.75)
        axes.margins(x=0.08)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(label)
    return svg[0]


def losses(
    steps: Sequence[float], values: Sequence[float], validations: Sequence[tuple[float, float]], label: str
) -> str:
    """Training loss, faint and smoothed, with the validation scores as points on it; `label` names the loss."""
    with _figure(6.4, 2.9) as (axes, svg):
        at, shown = _thinned(steps, values)
        axes.plot(at, shown, color=MUTED, linewidth=0.8, alpha=0.45)
        axes.plot(*_thinned(steps, smoothed(values)), color=ACCENT, linewidth=1.8, label="training, smoothed")
        if validations:
            axes.plot(
                *zip(*validations, strict=True), "o-", color=SECOND, markersize=4, linewidth=1, label="validation"
            )
        if len(values) > 20:  # the first steps of a fresh head would flatten the rest
            low, high = min([*values, *(v for _, v in validations)]), sorted(values)[int(0.99 * (len(values) - 1))]
            high = max([high, *(v for _, v in validations)])
            axes.set_ylim(low - 0.05 * (high - low or 1), high + 0.08 * (high - low or 1))
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("optimizer step")
        axes.set_ylabel(label)
        axes.legend(loc="upper right")
    return svg[0]


def small(title: str, steps: Sequence[float], values: Sequence[float]) -> str:
    """One small line."""
    with _figure(2.9, 1.55) as (axes, svg):
        axes.plot(*_thinned(steps, values), color=ACCENT, linewidth=1.3)
        axes.set_title(title, color=INK)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 4))
        axes.yaxis.get_offset_text().set_color(MUTED)
        axes.locator_params(axis="x", nbins=4, integer=True)
        axes.locator_params(axis="y", nbins=4)
        axes.set_ylim(bottom=0)
    return svg[0]


def histogram(bins: Sequence[tuple[float, float, int]], across: str, upwards: str) -> str:
    """Counts over bins (from, to, count)."""
    with _figure(6.0, 2.2) as (axes, svg):
        lows = [low for low, _, _ in bins]
        widths = [high - low for low, high, _ in bins]
        axes.bar(lows, [count for _, _, count in bins], widths, align="edge", color=ACCENT, alpha=0.75, linewidth=0)
        axes.set_xlabel(across)
        axes.set_ylabel(upwards)
        axes.set_xlim(left=min(lows))
        axes.locator_params(axis="y", integer=True)
    return svg[0]


def growth(
    points: Sequence[tuple[float, float, float | None, float | None]], label: str, across: str = "training rows"
) -> str:
    """A curve over growing amounts: (amount, value, low, high)."""
    with _figure(6.0, 2.5) as (axes, svg):
        rows = [point[0] for point in points]
        axes.plot(rows, [point[1] for point in points], "o-", color=ACCENT, linewidth=1.6, markersize=5)
        bounds = [(row, low, high) for row, _, low, high in points if low is not None and high is not None]
        if bounds:
            axes.fill_between(*zip(*bounds, strict=True), color=ACCENT, alpha=0.15, linewidth=0)
        axes.set_xlabel(across)
        axes.set_ylabel(label)
        axes.set_xlim(left=0)
    return svg[0]


def scatter(true: Sequence[float], said: Sequence[float]) -> str:
    """Numbers said against numbers that are true; on the line both are equal."""
    with _figure(4.2, 3.9) as (axes, svg):
        ends = [min([*true, *said]), max([*true, *said])]
        axes.plot(ends, ends, color=MUTED, linewidth=0.8)
        axes.plot(true, said, "o", color=ACCENT, markersize=3.5, alpha=0.5, markeredgewidth=0)
        axes.set_xlabel("true")
        axes.set_ylabel("said")
    return svg[0]


def smoothed(values: Sequence[float]) -> list[float]:
    """Centred mean over about a thirtieth of the line, narrower towards its ends, so that it does not lag."""
    sums = [0.0, *itertools.accumulate(values)]
    last, half = len(values) - 1, max(1, len(values) // 60)
    reach = [min(half, at, last - at) for at in range(len(values))]
    return [(sums[at + r + 1] - sums[at - r]) / (2 * r + 1) for at, r in enumerate(reach)]


def _thinned(steps: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    stride = max(1, math.ceil(len(steps) / MOST))
    return list(steps[::stride]), list(values[::stride])


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, list[str]]]:
    """Axes to draw on; when the block ends the SVG stands in the list."""
    import matplotlib
    from matplotlib.figure import Figure

    svg: list[str] = []
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure.subplots(), svg
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    svg.append(_inline(buffer.getvalue()))


def _inline(document: str) -> str:
    """Only the <svg> element: sized by the page, coloured by its variables, in its fonts, without ids nobody uses."""
    svg = re.sub(r">\s+<", "><", document[document.index("<svg") :])
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="(?![pmC][0-9a-f]{6})[^"]*"', "", svg)
    svg = re.sub(r'^(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'^(<svg[^>]*?) height="[^"]*"', r"\1", svg))
    svg = re.sub(r"<defs><style.*?</style></defs>|font-family: [^;\"]+; ", "", svg, flags=re.DOTALL)
    for colour, name in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.strip().replace("<svg ", '<svg role="img" ', 1)


def _short(name: str) -> str:
    return name if len(name) <= 34 else f"{name[:33]}…"
