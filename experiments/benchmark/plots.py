"""Two pictures of a result: the ratios as bars, and what the cost grows with."""

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.benchmark.statistics import summary
from experiments.benchmark.table import Result, Row, fact, number, table, values_of
from experiments.benchmark.worker import Missing

COLOURS = {"met": "tab:blue", "within noise": "tab:cyan", "not met": "tab:red", "reported": "0.65"}
TICKS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
GROWTH = (  # workload, what it grows with, its slope, the title
    ("width", "parameters", 1, "Time of an example"),
    ("epochs", "epochs", 1, "Time of a run"),
    ("runs", "runs", 1, "Time of a sweep"),
    ("compilation", "layers", 1, "Time of compilation"),
)


def ratios(result: Result) -> Figure:
    """How many times faster mlp_jax is than each peer, on a log axis."""
    rows = [row for row in table(result) if row.wanted.relation == ">=" and row.wanted.quantity == "ratio"]
    rows = [row for row in rows if row.measured and not row.wanted.workload.startswith(("memory", "cross", "comp"))]
    groups = list(dict.fromkeys(row.wanted.workload for row in rows))
    figure, axes = plt.subplots(figsize=(7.5, 1.2 + 0.24 * len(rows) + 0.3 * len(groups)), layout="constrained")
    position, ticks, labels = 0.0, [], []
    for group in groups:
        axes.text(-0.02, position, group, weight="bold", fontsize=8, ha="right", **_beside(axes))
        position += 1
        for row in (row for row in rows if row.wanted.workload == group):
            _bar(axes, position, row)
            ticks.append(position)
            labels.append(row.wanted.of.replace(", over mlp_jax", ""))
            position += 1
        position += 0.3
    axes.axvline(1, color="black", lw=1)
    least = min((row.measured.lower for row in rows if row.measured), default=1.0)
    axes.set(xscale="log", ylim=(position, -0.7), xlabel="times as long as mlp_jax takes", xlim=(min(0.7, least), None))
    axes.set_yticks(ticks, labels, fontsize=8)
    axes.set_xticks([tick for tick in TICKS if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.set_title("The same work by others: time over that of mlp_jax", fontsize=11)
    handles: list[Any] = [Patch(color=colour, label=verdict) for verdict, colour in COLOURS.items()]
    handles += [
        Line2D((), (), color="black", lw=2, label="wanted"),
        Line2D((), (), color="black", lw=1, label="quartiles"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def growth(result: Result) -> Figure:
    """What the cost grows with, on log axes, beside the slope of theory."""
    drawn = [entry for entry in GROWTH if entry[0] in result["workloads"]]
    figure, grid = plt.subplots(1, max(1, len(drawn)), figsize=(3.4 * max(1, len(drawn)), 3.4), layout="constrained")
    for axes, (name, size_name, slope, title) in zip(np.atleast_1d(grid), drawn, strict=False):
        workload = result["workloads"][name]
        points = _points(workload)
        if not points:
            continue
        sizes, middle, lower, upper = np.array(points).T
        axes.errorbar(sizes, middle, (middle - lower, upper - middle), fmt="o", color="tab:blue", label="measured")
        line = middle[-1] * (sizes / sizes[-1]) ** slope
        axes.plot(sizes, line, ":", color="black", lw=1, label="in proportion")
        axes.set(xscale="log", yscale="log", xlabel=size_name, ylabel=workload["settings"]["unit"])
        axes.set_xticks(sizes[::2], [_short(size) for size in sizes[::2]])
        axes.yaxis.set_minor_formatter(lambda value, _: "")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.xaxis.set_tick_params(which="minor", length=0)
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


PICTURES: dict[str, Callable[[Result], Figure]] = {"ratios": ratios, "growth": growth}


def _bar(axes: Any, position: float, row: Row) -> None:
    assert row.measured is not None
    median, lower, upper = row.measured[:3]
    axes.barh(position, median - 1, left=1, height=0.75, color=COLOURS[row.verdict])
    axes.plot((lower, upper), (position, position), color="black", lw=1)
    axes.text(1.01, position, number(median), fontsize=8, **_beside(axes))
    if row.wanted.bound is not None:
        axes.plot((row.wanted.bound,) * 2, (position - 0.45, position + 0.45), color="black", lw=2)


def _short(size: float) -> str:
    """Write a size in four places: 26k, 6.0M."""
    return f"{size / 1e6:.1f}M" if size >= 1e6 else f"{size / 1e3:.0f}k" if size >= 1e4 else f"{size:,.0f}"


def _beside(axes: Any) -> dict[str, Any]:
    """Text whose x is a share of the axes' width, and whose y is a position."""
    return {"transform": axes.get_yaxis_transform(), "va": "center"}


def _points(workload: Any) -> list[tuple[float, float, float, float]]:
    """Size, median and quartiles of every side that has them, by size; of compilation only the deep networks."""
    points = []
    for name in workload["sides"]:
        try:
            size, measured = fact(workload, name, "size"), summary(values_of(workload, name))
        except Missing:
            continue
        if not (workload["name"] == "compilation" and "layers" not in name):
            points.append((size, *measured[:3]))
    return sorted(points)
