"""Levels 1 to 4 of exercises: how visible a mistake is in training. All numbers are those of the record levels.json.

A student sees one training: the loss that it prints, and the accuracy on digits that it has not seen. So a number is
within noise if it lies between the smallest and the largest of the right trainings, which differ only by their seeds.

    1  training visibly fails: the code raises an error, the loss is not finite, or it falls by less than a tenth,
       where that of a right training falls to a quarter or less
    2  it learns, and badly: 5 points of accuracy or more are lost. Right trainings lie within 2.3 points, so no seed
       explains it, and somebody who knows the data sees it without a right curve next to it
    3  it learns well, and the first loss, the last loss or the accuracy is outside of the noise: seen next to a right
       curve only
    4  nothing is seen: all three are within noise

A level is that of a mistake in every layer, in the setting of the record. `Seen.share` says how sure it is: the share
of bootstrap resamples of the seeds that have the same.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.check._exercises.visibility import RECORD, Run

LEVELS = (1, 2, 3, 4)
FALLS = 0.9  # of the first loss: a last loss above it has not fallen
LOST = 0.05  # of accuracy
RESAMPLES = 1000


class Seen(NamedTuple):
    """How visible a mistake is.

    Attributes:
      level: 1 to 4.
      share: of bootstrap resamples of the seeds that have this level.
      raises: whether the code raises an error.
      first: median of the losses of the first step.
      last: median of the mean losses of the last epoch; NaN if it is not finite.
      accuracy: mean on the test set.
      low: lower end of a 95 % interval of the accuracy that is lost.
      high: its upper end.
      setting: activation and widths.
    """

    level: int
    share: float
    raises: bool
    first: float
    last: float
    accuracy: float
    low: float
    high: float
    setting: str


Columns = Mapping[str, Sequence[float | None]]


def level_of_runs(runs: Columns | None, right: Columns) -> int:
    """Return the level of trainings next to right ones, over their seeds; None for code that raises an error."""
    return 1 if runs is None else int(_levels(_arrays(runs), _arrays(right)))


def _arrays(runs: Columns) -> dict[str, np.ndarray]:
    return {name: np.array(runs[name], float) for name in Run._fields}


def _levels(runs: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> np.ndarray:
    """Return the levels of runs, (..., seeds)."""
    last = np.where(np.isfinite(runs["last"]), runs["last"], np.inf)
    fails = np.mean(last >= FALLS * runs["first"], axis=-1) >= 0.5
    is_bad = right["accuracy"].mean() - runs["accuracy"].mean(axis=-1) >= LOST
    medians = {name: np.median(values, axis=-1) for name, values in (runs | {"last": last}).items()}
    hidden = [(right[name].min() <= medians[name]) & (medians[name] <= right[name].max()) for name in Run._fields]
    return np.select([fails, is_bad, np.logical_and.reduce(hidden)], [1, 2, 4], 3)


def seen(runs: Columns | None, right: Columns, setting: str) -> Seen:
    """Return how visible a mistake is, from its trainings and right ones with the same seeds."""
    level, nan = level_of_runs(runs, right), float("nan")
    if runs is None:
        return Seen(level, 1.0, True, nan, nan, nan, nan, nan, setting)
    theirs, ours = _arrays(runs), _arrays(right)
    draws = np.random.default_rng(0).integers(0, len(right["last"]), (RESAMPLES, len(right["last"])))
    again = _levels({name: column[draws] for name, column in theirs.items()}, ours)
    low, high = np.quantile((ours["accuracy"] - theirs["accuracy"])[draws].mean(axis=1), [0.025, 0.975])
    first, last = (float(np.median(theirs[name])) for name in ("first", "last"))
    share, accuracy = float(np.mean(again == level)), float(np.mean(theirs["accuracy"]))
    return Seen(level, share, False, first, last, accuracy, float(low), float(high), setting)


@functools.cache
def record() -> Mapping[str, Any]:
    """Return the record of all trainings."""
    loaded: Mapping[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return loaded


@functools.cache
def visibility(name: str) -> Seen:
    """Return how visible a known mistake is, by the record."""
    of = record()["mistakes"][name]
    return seen(of["runs"], record()["right"][of["setting"]], of["setting"])


@functools.cache
def level(name: str) -> int:
    """Return the level of a known mistake, by the record."""
    of = record()["mistakes"][name]
    return level_of_runs(of["runs"], record()["right"][of["setting"]])
