"""The table of a sweep: a row per setting over its seeds, and the best by validation."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Row(NamedTuple):
    """One setting over its seeds.

    Attributes:
      setting: its values by name.
      first: the index of its first run; the others follow.
      accuracy: on the validation set, in percent, (seeds, epochs).
      loss: on the validation set, the median after the last epoch.
      diverged: how many runs diverged.
    """

    setting: dict[str, Any]
    first: int
    accuracy: np.ndarray
    loss: float
    diverged: int


def summary(result: Any, names: Sequence[str], seeds: int) -> list[Row]:
    """Return a row per setting; its runs over the seeds are next to each other in the result."""
    table, history = result.table(), result.history
    rows = []
    for start in range(0, len(result.settings), seeds):
        runs = slice(start, start + seeds)
        setting = {name: result.settings[start][name] for name in names}
        losses = np.where(np.isfinite(table["validation_loss"][runs]), table["validation_loss"][runs], np.inf)
        diverged = int(np.count_nonzero(table["diverged_epoch"][runs]))
        rows.append(Row(setting, start, 100 * history.validation_accuracy[runs], float(np.median(losses)), diverged))
    return rows


def best_of(rows: Sequence[Row]) -> Row:
    """Return the row of the highest median accuracy after the last epoch; of equal ones the one of the lowest loss."""
    return max(rows, key=lambda row: (np.median(row.accuracy[:, -1]), -row.loss))


def in_words(name: str, value: Any) -> str:
    """Return a setting's value as the flag takes it.

    >>> in_words("hidden", (64, 64)), in_words("learning_rate", 0.001)
    ('64 64', '0.001')
    """
    if name == "hidden":
        return " ".join(map(str, value)) or "none"
    return value.name if name == "activation" else f"{value:g}"


def spread(values: np.ndarray) -> str:
    """Return the smallest and the largest of some numbers."""
    return f"{values.min():.2f} to {values.max():.2f}"


def show(rows: Sequence[Row], best: Row, varied: Sequence[str]) -> None:
    """Print a row per setting over its seeds, with a mark at the best by validation."""
    from mlp_jax.check._rendering import text_table

    columns = varied or ["learning_rate"]
    header = [name.replace("_", " ") for name in columns]
    header += ["validation accuracy %", "min to max", "validation loss", "diverged", ""]
    lines = []
    for row in rows:
        last = row.accuracy[:, -1]
        cells = [in_words(name, row.setting[name]) for name in columns]
        cells += [
            f"{np.median(last):.2f}",
            spread(last),
            f"{row.loss:.4f}" if row.loss < 1e4 else f"{row.loss:.3g}",
            f"{row.diverged} of {len(last)}",
        ]
        lines.append([*cells, "best" if row is best else ""])
    print(f"\nover {len(best.accuracy)} seeds: medians, and the smallest and largest, after the last epoch")
    print("\n".join(text_table(header, lines, left=("hidden", "activation", ""))))
