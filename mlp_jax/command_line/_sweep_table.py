"""The table of a sweep: a row per setting over its seeds, and the best by validation."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Measure(NamedTuple):
    """What a sweep chooses by; higher is better.

    Attributes:
      name: accuracy or R2.
      unit: " %" or nothing.
      digits: after the point.
      of: of validation losses and accuracies, (seeds, epochs).
    """

    name: str
    unit: str
    digits: int
    of: Callable[[Any, Any], np.ndarray]


def measure_of(dataset: Any) -> Measure:
    """Return the accuracy of classes, or for values R2 = 1 - mean square of the errors / variance of the targets."""
    if dataset.classes:
        return Measure("accuracy", " %", 2, lambda loss, accuracy: 100 * np.asarray(accuracy))
    variance = max(float(np.var(dataset.validation.labels, dtype=float)), 1e-300)
    return Measure("R2", "", 4, lambda loss, accuracy: 1 - np.asarray(loss, float) / variance)


class Row(NamedTuple):
    """One setting over its seeds.

    Attributes:
      setting: its values by name.
      first: the index of its first run; the others follow.
      score: by the measure, on the validation set, (seeds, epochs).
      loss: on the validation set, the median after the last epoch.
      diverged: how many runs diverged.
    """

    setting: dict[str, Any]
    first: int
    score: np.ndarray
    loss: float
    diverged: int


def summary(result: Any, names: Sequence[str], seeds: int, measure: Measure) -> list[Row]:
    """Return a row per setting; its runs over the seeds are next to each other in the result."""
    table, history = result.table(), result.history
    rows = []
    for start in range(0, len(result.settings), seeds):
        runs = slice(start, start + seeds)
        setting = {name: result.settings[start][name] for name in names}
        losses = np.where(np.isfinite(table["validation_loss"][runs]), table["validation_loss"][runs], np.inf)
        diverged = int(np.count_nonzero(table["diverged_epoch"][runs]))
        score = measure.of(history.validation_loss[runs], history.validation_accuracy[runs])
        rows.append(Row(setting, start, score, float(np.median(losses)), diverged))
    return rows


def best_of(rows: Sequence[Row]) -> Row:
    """Return the row of the highest median score after the last epoch; of equal ones the one of the lowest loss."""
    return max(rows, key=lambda row: (np.median(np.nan_to_num(row.score[:, -1], nan=-np.inf)), -row.loss))


def in_words(name: str, value: Any) -> str:
    """Return a setting's value as the flag takes it.

    >>> in_words("hidden", (64, 64)), in_words("learning_rate", 0.001)
    ('64 64', '0.001')
    """
    if name == "hidden":
        return " ".join(map(str, value)) or "none"
    return value.name if name == "activation" else f"{value:g}"


def spread(values: np.ndarray, digits: int) -> str:
    """Return the smallest and the largest of some numbers."""
    return f"{values.min():.{digits}f} to {values.max():.{digits}f}"


def show(rows: Sequence[Row], best: Row, varied: Sequence[str], measure: Measure) -> None:
    """Print a row per setting over its seeds, with a mark at the best by validation."""
    from mlp_jax.check._rendering import text_table

    columns = varied or ["learning_rate"]
    header = [name.replace("_", " ") for name in columns]
    header += [f"validation {measure.name}{measure.unit}", "min to max", "validation loss", "diverged", ""]
    lines = []
    for row in rows:
        last = row.score[:, -1]
        cells = [in_words(name, row.setting[name]) for name in columns]
        cells += [
            f"{np.median(last):.{measure.digits}f}",
            spread(last, measure.digits),
            f"{row.loss:.4f}" if row.loss < 1e4 else f"{row.loss:.3g}",
            f"{row.diverged} of {len(last)}",
        ]
        lines.append([*cells, "best" if row is best else ""])
    print(f"\nover {len(best.score)} seeds: medians, and the smallest and largest, after the last epoch")
    print("\n".join(text_table(header, lines, left=("hidden", "activation", ""))))
