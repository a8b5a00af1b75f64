"""How x is scaled: by mean and standard deviation, or by quartiles and with a clip."""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mlp_jax._doors import mistake

Array = NDArray[Any]
Scaling = Literal["standard", "robust"]

CLIP = 3.0  # of robustly scaled data, as Holzmüller, Grinsztajn & Steinwart (2024) have it


class Statistics(NamedTuple):
    """What `standardise` needs: z = (x - mean) / scale, and with a clip c then z / sqrt(1 + (z / c)^2)."""

    mean: Array
    scale: Array
    clip: float = math.inf


def statistics(x: Array, scaling: Scaling, *, images: bool = False) -> Statistics:
    """Return the statistics of x (N, D) for a scaling, of all pixels for standardised images and else per column."""
    if scaling == "robust":
        return Statistics(*median_and_spread(x), CLIP)
    return Statistics(*mean_and_scale(x, images=images))


def standardise(
    x: Array, mean: Array, scale: Array, dtype: DTypeLike = np.float32, name: str = "x", clip: float = math.inf
) -> Array:
    """Return z = (x - mean) / scale, computed in float64, or with a clip c z / sqrt(1 + (z / c)^2).

    Args:
      x: (N, D).
      mean: of shape (), (1,) or (D,).
      scale: of such a shape.
      dtype: a floating type for the result.
      name: of x, for the error.
      clip: c, above 0. What is returned stays within it; z of size 1 hardly changes for a clip of 3.

    Raises:
      ValueError: if a shape or `dtype` is wrong, or a result is not finite in `dtype`.

    Example:
      >>> standardise(np.array([[1.0, 8.0]]), np.array([0.0, 6.0]), np.array([2.0, 2.0]))
      array([[0.5, 1. ]], dtype=float32)
    """
    if not np.issubdtype(dtype, np.floating):
        raise mistake("dtype", "a floating type such as numpy.float32", repr(dtype), "change it")
    for argument, value in (("mean", mean), ("scale", scale)):
        if np.ndim(x) != 2 or np.shape(value) not in ((), (1,), np.shape(x)[1:]):
            got = f"{np.shape(value)} for x of shape {np.shape(x)}"
            raise mistake(argument, "shape (), (1,) or (D,) for x of shape (N, D)", got, "give x the training columns")
    with np.errstate(over="ignore"):
        centred = np.subtract(x, mean, dtype=np.float64)
        centred /= scale
        if clip < math.inf:
            centred /= np.hypot(1, centred / clip)
        result = centred.astype(dtype)
    if not np.isfinite(result).all():
        row, column = np.argwhere(~np.isfinite(result))[0]
        got = f"{x[row, column]} before scaling in row {row}, column {column} (counted from 0)"
        raise mistake(name, f"scaled values within {np.dtype(dtype)}", got, "remove the row or the column")
    return result


def mean_and_scale(x: Array, *, images: bool) -> tuple[Array, Array]:
    """Return mean and standard deviation of x (N, D) in float64, of all pixels for images and else per column.

    The scale of a constant column is inf, so that the column becomes 0 here and in new data. Powers of two are divided
    out first, so that squares of huge or tiny numbers neither overflow nor vanish.
    """
    axis = None if images else 0
    low, high = (np.asarray(extreme(x, axis=axis), np.float64) for extreme in (np.min, np.max))
    exponent = np.frexp(np.maximum(high, -low))[1]
    unit = np.ldexp(x, -exponent, dtype=np.float64)
    mean, scale = np.ldexp(unit.mean(axis), exponent), np.ldexp(unit.std(axis), exponent)
    return np.where(low == high, low, mean), np.where((low == high) | (scale == 0), np.inf, scale)


def median_and_spread(x: Array) -> tuple[Array, Array]:
    """Return the median and the interquartile range of each column of x (N, D), in float64.

    Where half of the values are equal, half of the range of all takes its place; for a constant column it is inf.
    """
    low, quarter, median, three_quarters, high = np.quantile(x.astype(np.float64), (0, 0.25, 0.5, 0.75, 1), axis=0)
    spread = np.where(three_quarters > quarter, three_quarters - quarter, (high - low) / 2)
    return median, np.where(spread > 0, spread, np.inf)
