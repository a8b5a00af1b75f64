"""Statistics of raw numbers, each with its 95 % interval over seeds and the number of seeds.

What has no interval is exact, or a worst case.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats


class Statistic(NamedTuple):
    """A number, what it is, and how sure we are of it.

    Attributes:
      value: the number.
      kind: what it is, such as "mean".
      seeds: of how many seeds or runs.
      interval: its 95 % interval over seeds; None if it is exact or a worst case.
    """

    value: float
    kind: str
    seeds: int
    interval: tuple[float, float] | None = None


def mean(values: Any) -> Statistic:
    """Return the mean over seeds and its interval, by Student's t. For a paired difference give the differences.

    >>> value, kind, seeds, (low, high) = mean([1.0, 2.0, 3.0])
    >>> print(f"{kind} of {seeds}: {value:.2f}, {low:.2f} to {high:.2f}")
    mean of 3: 2.00, -0.48 to 4.48
    """
    sample = _sample(values)
    if len(sample) == 1:  # one seed says nothing of the others
        return Statistic(float(sample[0]), "mean", 1, (-np.inf, np.inf))
    half = float(stats.t.ppf(0.975, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample)))
    value = float(sample.mean())
    return Statistic(value, "mean", len(sample), (value - half, value + half))


def difference(a: Any, b: Any) -> Statistic:
    """Return the mean of a - b over seeds, paired: a and b of one seed share all randomness."""
    a, b = _sample(a), _sample(b)
    if a.shape != b.shape:
        raise ValueError(f"difference: expected pairs, got {len(a)} and {len(b)} values")
    return mean(a - b)._replace(kind="mean difference")


def median(values: Any) -> Statistic:
    """Return the median over seeds and its interval, by the bootstrap (Efron, 1979)."""
    sample = _sample(values)
    value = float(np.median(sample))
    if len(sample) == 1:  # one seed says nothing of the others
        return Statistic(value, "median", 1, (-np.inf, np.inf))
    if np.ptp(sample) == 0:  # nothing to draw again
        return Statistic(value, "median", len(sample), (value, value))
    drawn = stats.bootstrap((sample,), np.median, method="percentile", rng=np.random.default_rng(0))
    low, high = drawn.confidence_interval
    return Statistic(value, "median", len(sample), (float(low), float(high)))


def share(happened: Any) -> Statistic:
    """Return the share of runs in which something happened, and its interval (Wilson, 1927).

    >>> share([True, True, False, True]).value
    0.75
    """
    outcomes = np.asarray(happened, bool).ravel()
    interval = stats.binomtest(int(outcomes.sum()), len(outcomes)).proportion_ci(method="wilson")
    return Statistic(float(outcomes.mean()), "share", len(outcomes), (float(interval.low), float(interval.high)))


def slope(x: Any, y: Any) -> Statistic:
    """Return the slope of y (seeds, points) over x (points,) by least squares: its median over seeds.

    >>> round(slope([0, 1, 2], [[0, 2, 4], [1, 3, 5]]).value, 6)
    2.0
    """
    slopes = np.polyfit(np.asarray(x, float), np.atleast_2d(np.asarray(y, float)).T, 1)[0]
    return median(slopes)._replace(kind="median slope")


def largest(values: Any) -> Statistic:
    """Return the largest value, a worst case."""
    sample = _sample(values)
    return Statistic(float(sample.max()), "largest", len(sample))


def smallest(values: Any) -> Statistic:
    """Return the smallest value, a worst case."""
    sample = _sample(values)
    return Statistic(float(sample.min()), "smallest", len(sample))


def farthest(values: Any, expected: float) -> Statistic:
    """Return the value that is farthest from the expected one, a worst case.

    >>> farthest([0.9, 1.2], 1).value
    1.2
    """
    sample = _sample(values)
    return Statistic(float(sample[np.argmax(np.abs(sample - expected))]), "farthest", len(sample))


def exact(value: Any) -> Statistic:
    """Return a number that no seed changes: a count, or what one computation gives."""
    return Statistic(float(value), "exact", 1)


def _sample(values: Any) -> np.ndarray:
    sample = np.asarray(values, float).ravel()
    if not len(sample):
        raise ValueError("statistic: expected at least one value, got none")
    return sample
