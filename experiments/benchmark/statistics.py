"""Medians and quartiles of what several repeats measured, paired repeat by repeat."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Summary(NamedTuple):
    """The middle of the repeats, and their spread."""

    median: float
    lower: float  # quartile
    upper: float
    least: float
    most: float


def summary(values: Sequence[float]) -> Summary:
    """Return median, quartiles, least and most.

    >>> summary([1.0, 2.0, 3.0, 4.0, 100.0])
    Summary(median=3.0, lower=2.0, upper=4.0, least=1.0, most=100.0)
    """
    lower, median, upper = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
    return Summary(median, lower, upper, float(min(values)), float(max(values)))


def paired_ratios(numerator: Sequence[float], denominator: Sequence[float]) -> list[float]:
    """Return the ratio of every repeat: a machine that slows down for a while slows both of a pair.

    >>> paired_ratios([2.0, 6.0, 20.0], [1.0, 3.0, 10.0])
    [2.0, 2.0, 2.0]
    """
    return [a / b for a, b in zip(numerator, denominator, strict=True)]


def slopes(sizes: Sequence[float], values: Sequence[Sequence[float]]) -> list[float]:
    """Return for every repeat the slope of log value over log size: 1 if the cost grows in proportion.

    Args:
      sizes: (S,).
      values: for every size the repeats, (S, R).

    >>> [round(slope, 6) for slope in slopes([1, 2, 4], [[3.0, 1.0], [6.0, 4.0], [12.0, 16.0]])]
    [1.0, 2.0]
    """
    return np.polyfit(np.log(sizes), np.log(np.asarray(values, float)), 1)[0].tolist()
