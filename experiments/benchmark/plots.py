"""Two pictures of a result: the ratios as bars, and what the cost grows with."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.benchmark.results import Result, WorkloadResult
from experiments.benchmark.statistics import Summary, summary
from experiments.benchmark.table import Row, number, table
from experiments.benchmark.workloads import WORKLOADS, Workload

COLOURS = {"met": "tab:blue", "within noise": "tab:cyan", "not met": "tab:red", "reported": "0.65"}
TICKS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def ratios(result: Result) -> Figure:
    """Draw how many times as long as mlp_jax each peer takes, on a log axis."""
    of_peers = [row for row in table(result) if row.aim.relation == ">=" and row.workload.family != "memory"]
    bars = [(row, row.measured) for row in of_peers if row.measured]
    groups = [(name, list(group)) for name, group in groupby(bars, lambda bar: bar[0].workload.name)]
    figure, axes = plt.subplots(figsize=(7.5, 1.2 + 0.24 * len(bars) + 0.3 * len(groups)), layout="constrained")
    position, labels = 0.0, {}
    for name, group in groups:
        axes.text(-0.02, position, name, weight="bold", fontsize=8, ha="right", **_in_row(axes))
        for row, measured in group:
            position += 1
            _bar(axes, position, row, measured)
            labels[position] = row.aim.words or row.side
        position += 1.3
    axes.axvline(1, color="black", lw=1)
    least = min((measured.lower for _, measured in bars), default=1.0)
    axes.set(xscale="log", ylim=(position, -0.7), xlabel="times as long as mlp_jax takes", xlim=(min(0.7, least), None))
    axes.set_yticks([*labels], labels.values(), fontsize=8)
    axes.set_xticks([tick for tick in TICKS if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.set_title("The same work by others: time over that of mlp_jax", fontsize=11)
    handles: list[Any] = [Patch(color=colour, label=verdict) for verdict, colour in COLOURS.items()]
    handles += [Line2D((), (), color="black", lw=lw, label=label) for lw, label in ((2, "wanted"), (1, "quartiles"))]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def growth(result: Result) -> Figure:
    """Draw what the cost grows with, on log axes, next to a line in proportion."""
    drawn = [one for one in WORKLOADS if one.growth and one.growth.title and one.name in result.workloads]
    figure, grid = plt.subplots(1, max(1, len(drawn)), figsize=(3.4 * max(1, len(drawn)), 3.4), layout="constrained")
    for axes, workload in zip(np.atleast_1d(grid), drawn, strict=False):
        points = _points(workload, result.workloads[workload.name])
        if not points or workload.growth is None:
            continue
        sizes, middle, lower, upper = np.array(points).T
        axes.errorbar(sizes, middle, (middle - lower, upper - middle), fmt="o", color="tab:blue", label="measured")
        axes.plot(sizes, middle[-1] * sizes / sizes[-1], ":", color="black", lw=1, label="in proportion")
        axes.set(xscale="log", yscale="log", xlabel=workload.growth.of, ylabel=workload.unit)
        axes.set_xticks(sizes[::2], [_short(size) for size in sizes[::2]])
        axes.yaxis.set_minor_formatter(lambda value, _: "")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.xaxis.set_tick_params(which="minor", length=0)
        axes.set_title(workload.growth.title, fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


PICTURES: dict[str, Callable[[Result], Figure]] = {"ratios": ratios, "growth": growth}


def _bar(axes: Any, position: float, row: Row, measured: Summary) -> None:
    axes.barh(position, measured.median - 1, left=1, height=0.75, color=COLOURS[row.verdict])
    axes.plot((measured.lower, measured.upper), (position, position), color="black", lw=1)
    axes.text(1.01, position, number(measured.median), fontsize=8, **_in_row(axes))
    if row.aim.bound is not None:
        axes.plot((row.aim.bound,) * 2, (position - 0.45, position + 0.45), color="black", lw=2)


def _short(size: float) -> str:
    """Write a size in four places: 26k, 6.0M."""
    return f"{size / 1e6:.1f}M" if size >= 1e6 else f"{size / 1e3:.0f}k" if size >= 1e4 else f"{size:,.0f}"


def _in_row(axes: Any) -> dict[str, Any]:
    """Return options of a text whose x is a share of the axes' width, and whose y is a position."""
    return {"transform": axes.get_yaxis_transform(), "va": "center"}


def _points(workload: Workload, result: WorkloadResult) -> list[tuple[float, ...]]:
    """Return size, median and quartiles of every side that has a size and was measured."""
    sides = [side for side in workload.sides if side.size and side.name in result.sides]
    return [(side.size, *summary(result.sides[side.name].values)[:3]) for side in sides]
