"""Slopes of a loss by central differences in two step sizes, each with its error.

With c(h) = (L(theta + h e) - L(theta - h e)) / 2 h, the slope is (4 c(h/2) - c(h)) / 3, whose error in h is of order 4
(Richardson, 1911). The difference of c(h/2) and c(h) shows a kink between the points, and is far above what smooth
functions have there.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SIZES = np.array([1.0, -1.0, 0.5, -0.5])
STEP = {"float64": 1e-5, "float32": 2e-2}  # smaller than the best for smooth losses, so that few kinks lie within
SMALLER = 1e-7  # for a second look at entries that seem wrong
ROUNDING = 16  # units in the last place that a loss may be off


class Slopes(NamedTuple):
    """Slopes and their errors, both in any shape; an error of inf marks a kink."""

    values: np.ndarray
    errors: np.ndarray


def slopes(losses: Callable[[np.ndarray], np.ndarray], count: int, h: float, precision: str) -> Slopes:
    """Return slopes in some directions.

    Args:
      losses: (count, 4) sizes of steps -> the loss after each.
      count: how many directions.
      h: the size of the step.
      precision: of the loss, float64 or float32.
    """
    L = losses(h * np.tile(SIZES, (count, 1)))
    wide, narrow = (L[:, 0] - L[:, 1]) / (2 * h), (L[:, 2] - L[:, 3]) / h
    values = (4 * narrow - wide) / 3
    rounding = ROUNDING * float(np.finfo(precision).eps) * np.abs(L).max(axis=1) / h
    errors = np.abs(wide - narrow) / 3 + rounding
    is_kink = ~(np.abs(wide - narrow) <= 100 * h * (np.abs(values) + np.median(np.abs(values))) + 4 * rounding)
    return Slopes(values, np.where(is_kink, np.inf, errors))
