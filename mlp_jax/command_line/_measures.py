"""What is printed of predictions: a table of confusions, and the fit of values."""

from collections.abc import Sequence

import numpy as np


def confusion_of(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return how often class i is taken for class j, (C, C).

    >>> confusion_of(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    return np.bincount(classes * labels + predicted, minlength=classes**2).reshape(classes, classes)


def table_lines(table: np.ndarray, names: Sequence[str]) -> list[str]:
    """Return the lines of a table of counts with its names, in columns of one width; long names are cut.

    >>> table_lines(np.array([[10, 0], [1, 2]]), ["cat", "dog"])
    ['    cat dog', 'cat  10   0', 'dog   1   2']
    """
    short = [name if len(name) <= 12 else f"{name[:11]}…" for name in names]
    width = max(map(len, [*short, *map(str, table.ravel())]))
    rows = [["", *short], *([name, *map(str, row)] for name, row in zip(short, table, strict=True))]
    return [" ".join(cell.rjust(width) if i else cell.ljust(width) for i, cell in enumerate(row)) for row in rows]


def fit_of(mean_square: float, variance: float, scale: float = 1.0) -> str:
    """Return RMSE, in the targets' units, and R2 = 1 - mean square of the errors / variance of the targets.

    >>> fit_of(0.25, 1.0, scale=10.0)
    'RMSE 5, R2 0.7500'
    """
    r2 = f"{1 - mean_square / variance:.4f}" if variance else "undefined, since all targets are equal"
    return f"RMSE {scale * mean_square**0.5:.4g}, R2 {r2}"
