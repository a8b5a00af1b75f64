"""The plot of `mlp-jax sweep`: validation accuracy or R2 against the learning rate, or epoch by epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mlp_jax._files import atomic_write
from mlp_jax.command_line._sweep_table import Measure, Row, in_words

WIDE = 5  # if the learning rates span this factor or more, their axis is logarithmic


def plot(path: Path, rows: Sequence[Row], varied: Sequence[str], measure: Measure) -> None:
    """Write an SVG with a line per setting, the median over seeds, and a band from the smallest to the largest.

    The horizontal axis is the learning rate if it varies, else the epoch.
    """
    lines = [name for name in varied if name != "learning_rate"]
    labels = [
        ", ".join(f"{name.replace('_', ' ')} {in_words(name, row.setting[name])}" for name in lines) for row in rows
    ]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for label in dict.fromkeys(labels):
        of_line = [row for row, of_row in zip(rows, labels, strict=True) if of_row == label]
        if "learning_rate" in varied:
            of_line.sort(key=lambda row: row.setting["learning_rate"])
            x = np.array([row.setting["learning_rate"] for row in of_line])
            score = np.stack([row.score[:, -1] for row in of_line], axis=1)
        else:
            score = of_line[0].score
            x = np.arange(1, score.shape[1] + 1)
        (line,) = axes.plot(x, np.median(score, axis=0), marker="o" if len(x) <= 20 else "", label=label)
        axes.fill_between(x, score.min(axis=0), score.max(axis=0), alpha=0.2, color=line.get_color(), linewidth=0)
    finish(axes, rows, varied, measure, is_labelled=bool(lines))
    with matplotlib.rc_context({"svg.hashsalt": "mlp-jax"}), atomic_write(path) as file:  # equal plots, equal files
        figure.savefig(file, format="svg", metadata={"Date": None})


def finish(axes: Any, rows: Sequence[Row], varied: Sequence[str], measure: Measure, is_labelled: bool) -> None:
    """Label the axes, and name line and band in the title."""
    rates = [row.setting["learning_rate"] for row in rows]
    if "learning_rate" in varied:
        axes.set_xlabel("learning rate")
        if max(rates) >= WIDE * min(rates):
            axes.set_xscale("log")
    else:
        axes.set_xlabel("epoch")
    axes.set_ylabel(f"validation {measure.name}" + (f" ({measure.unit.strip()})" if measure.unit else ""))
    axes.set_title(f"median and range over {len(rows[0].score)} seeds", fontsize="medium")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if is_labelled:
        axes.legend(fontsize="small", frameon=False)
