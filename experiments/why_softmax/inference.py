"""At inference the largest logit is the answer, with softmax or without.

Predictions with and without softmax, on rows of 10 normal logits in float32, and their time. They can differ only where
rounding makes the two largest probabilities equal and the second class comes first. With e = exp of minus the gap
between the two logits, that is so if e rounds to 1, which takes a gap below 2^-25. At e = 1 - 2^-24 they differ
already, for the compiler multiplies by the rounded 1 / sum (a division would leave more of them equal). The gap has a
density f / scale at 0, with f = C (C - 1) times the integral of phi^2 Phi^(C - 2), and so

    changed rows = rows * f / scale * 2^-25 / 2

as long as the logits are so small that their own spacing is finer; larger ones do not come so close.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate, stats

import mlp_jax
from experiments.intervals import median_and_interval
from experiments.protocol import Claim, Finding, Progress

FORMULA = (
    r"\mathrm{argmax}_j p_j = \mathrm{argmax}_j z_j, \qquad "
    r"\text{changed rows} \approx \text{rows} \cdot \frac{f}{\text{scale}} \cdot 2^{-26}"
)


@dataclass(frozen=True)
class Config:
    """The scale of the logits is varied, the rest is held fixed."""

    classes: int = 10
    rows: int = 1_000_000  # at each scale
    scales: tuple[float, ...] = (0.1, 1.0, 10.0)
    tie_scale: float = 1e-3
    timed_rows: int = 100_000
    repeats: int = 100


FULL = Config()
QUICK = Config(rows=100_000, repeats=20)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Predict with and without softmax, and take the time."""
    of_rows, of_ties, of_time = jax.random.split(key, 3)
    differ = [changed_predictions(jax.random.fold_in(of_rows, i), s, config) for i, s in enumerate(config.scales)]
    ties = changed_predictions(of_ties, config.tie_scale, config)
    progress(0.5)
    ratios = times_without_softmax(of_time, config)
    speedup, speedup_interval = median_and_interval(ratios)

    rows = f"{config.rows:,} rows of {config.classes} normal logits"
    expected_ties = expected_changes(config.tie_scale, config)
    claims = (
        Claim(
            "changed",
            "At scales of 0.1 and more leaving softmax out changes no prediction, but for a tie or two in millions.",
            "<=",
            3,
            f"derived, above: ties alone, {expected_changes(config.scales[0], config):.2f} of them expected at scale "
            f"{config.scales[0]:g}, and more than 3 less than once in 2,000 runs",
            sum(changed for changed, _ in differ),
            f"changed predictions in {rows} in float32 at each scale of {config.scales}",
        ),
        Claim(
            "worse",
            "Where softmax predicts another class, it is a tie of probabilities.",
            "<=",
            0,
            "derived: exp is monotone, and so is rounding",
            sum(worse for _, worse in (*differ, ties)),
            f"rows in which the class of the largest logit has a smaller p than another; {rows} at each scale, and at "
            f"{config.tie_scale:g}",
            exact=True,
        ),
        Claim(
            "ties",
            "Where all logits are within about 0.001, rounding of p changes the prediction of a few rows.",
            "=",
            expected_ties,
            "derived, above",
            ties.changed,
            f"changed predictions in {rows} of scale {config.tie_scale:g}, float32; 3 standard deviations of Poisson",
            tolerance=3 * math.sqrt(expected_ties),
        ),
        Claim(
            "speedup",
            "Without softmax the step from logits to classes is faster.",
            ">=",
            1,
            "derived: no exp, sum and division",
            speedup,
            f"time with softmax over time without, {config.timed_rows:,} rows of {config.classes}, compiled, one after "
            "the other: median and its interval over repeats; a network's own time, which softmax hardly changes, not "
            "included",
            speedup_interval,
            config.repeats,
        ),
    )
    return Finding(claims, {"times": ratios})


class Changes(NamedTuple):
    """Of some rows: how many are predicted otherwise with softmax, and in how many of them p has no tie."""

    changed: int
    worse: int


def changed_predictions(key: jax.Array, scale: float, config: Config) -> Changes:
    """Predict with and without softmax."""
    return Changes(*map(int, compare_predictions(scale * jax.random.normal(key, (config.rows, config.classes)))))


@jax.jit
def compare_predictions(z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How many rows are predicted otherwise with softmax, and in how many the predicted class has not the largest p."""
    p = mlp_jax.softmax(z)
    without = mlp_jax.predict(z)
    p_predicted = jnp.take_along_axis(p, without[:, None], axis=1)[:, 0]
    return jnp.sum(mlp_jax.predict(p) != without), jnp.sum(p_predicted < jnp.max(p, axis=1))


def expected_changes(scale: float, config: Config) -> float:
    """How many predictions change through ties, for small logits."""
    C = config.classes
    density = C * (C - 1) * integrate.quad(lambda x: stats.norm.pdf(x) ** 2 * stats.norm.cdf(x) ** (C - 2), -10, 10)[0]
    return float(config.rows * density / scale * 2.0**-25 / 2)


def times_without_softmax(key: jax.Array, config: Config) -> np.ndarray:
    """Time with softmax over time without, one number a repeat."""
    z = jax.random.normal(key, (config.timed_rows, config.classes))
    without = jax.jit(mlp_jax.predict)
    with_softmax = jax.jit(lambda z: mlp_jax.predict(mlp_jax.softmax(z)))
    for predict in (without, with_softmax):
        predict(z).block_until_ready()
    return np.array([seconds(with_softmax, z) / seconds(without, z) for _ in range(config.repeats)])


def seconds(f: Callable[[jax.Array], jax.Array], z: jax.Array) -> float:
    """How long f(z) takes."""
    start = time.perf_counter()
    f(z).block_until_ready()
    return time.perf_counter() - start
