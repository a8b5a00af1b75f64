"""Slopes of a loss by central differences in two step sizes, each with its error.

With c(h) = (L(theta + h e) - L(theta - h e)) / 2 h, the slope is (4 c(h/2) - c(h)) / 3, whose error in h is of order 4
(Richardson, 1911). At a kink the slopes to the right and to the left, r(h) and l(h), do not come together as h goes to
0, as those of a smooth loss do; where a kink lies within h, c(h/2) and c(h) are far apart.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mlp_jax.check import _tolerance as tolerance

SIZES = np.array([1.0, -1.0, 0.5, -0.5, 0.0])
STEP = {"float64": 1e-5, "float32": 2e-2}  # smaller than the best for smooth losses, so that few kinks lie within
SMALLER = {"float64": 1e-7, "float32": 4e-3}  # for a second look at entries that seem wrong
BENT = {"float64": 1e-3, "float32": 1e-1}  # of a slope's size: what c(h/2) and c(h) differ by at a kink
COARSE = {"float64": 1e-3, "float32": 1e-1}  # of a slope's size: an error that leaves nothing to judge


class Slopes(NamedTuple):
    """Slopes, their errors, inf at a kink, and whether an error is so large that it leaves nothing to judge."""

    values: np.ndarray
    errors: np.ndarray
    is_coarse: np.ndarray


def slopes(losses: Callable[[np.ndarray], np.ndarray], count: int, h: float, precision: str) -> Slopes:
    """Return slopes in some directions.

    Args:
      losses: (count, 5) sizes of steps -> the loss after each.
      count: how many directions.
      h: the size of the step.
      precision: of the loss, float64 or float32.
    """
    L = losses(h * np.tile(SIZES, (count, 1)))
    wide, narrow = (L[:, 0] - L[:, 1]) / (2 * h), (L[:, 2] - L[:, 3]) / h
    values = (4 * narrow - wide) / 3
    rounding = tolerance.rounding(precision, 1.0) * np.abs(L).max(axis=1) / h
    size = np.abs(values) + np.median(np.abs(values))
    errors = np.abs(wide - narrow) + rounding
    within = np.abs(wide - narrow) > BENT[precision] * size + 4 * rounding
    bend = (L[:, 0] + L[:, 1] - 2 * L[:, 4]) / h  # r(h) - l(h)
    half = 2 * (L[:, 2] + L[:, 3] - 2 * L[:, 4]) / h  # r(h/2) - l(h/2)
    here = (np.abs(half) > 0.75 * np.abs(bend)) & (np.abs(bend) > BENT[precision] / 10 * size + 8 * rounding)
    is_coarse = 4 * errors > COARSE[precision] * (size + 1e-3 * np.abs(values).max(initial=0))
    return Slopes(values, np.where(within | here | ~np.isfinite(values), np.inf, errors), is_coarse)
