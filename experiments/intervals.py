"""A statistic over seeds and its 95 % interval."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

Interval = tuple[float, float]


def median_and_interval(values: Sequence[float] | np.ndarray) -> tuple[float, Interval]:
    """Return the median over seeds and its interval, by the bootstrap (Efron, 1979)."""
    sample = np.asarray(values, float)
    if np.ptp(sample) == 0:  # nothing to draw anew
        return float(sample[0]), (float(sample[0]), float(sample[0]))
    interval = stats.bootstrap((sample,), np.median, method="percentile", rng=np.random.default_rng(0))
    low, high = interval.confidence_interval
    return float(np.median(sample)), (float(low), float(high))


def mean_and_interval(values: Sequence[float] | np.ndarray) -> tuple[float, Interval]:
    """Return the mean over seeds and its interval, by Student's t. A paired difference is one value a seed."""
    sample = np.asarray(values, float)
    half = stats.t.ppf(0.975, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample))
    return float(sample.mean()), (float(sample.mean() - half), float(sample.mean() + half))


def share_and_interval(happened: Sequence[bool] | np.ndarray) -> tuple[float, Interval]:
    """Return the share of runs in which something happened and its interval (Wilson, 1927)."""
    outcomes = np.asarray(happened, bool)
    interval = stats.binomtest(int(outcomes.sum()), len(outcomes)).proportion_ci(method="wilson")
    return float(outcomes.mean()), (float(interval.low), float(interval.high))
