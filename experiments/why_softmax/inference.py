"""Predictions with and without softmax, and their time.

Rows of 10 normal logits, in float32. The predictions can differ only where rounding makes the two largest probabilities
equal and the second class comes first. With e = exp of minus the gap between the two logits, that is so if e rounds to
1, which takes a gap below 2^-25. At e = 1 - 2^-24 they differ already, for the compiler multiplies by the rounded
1 / sum (a division would leave more of them equal). The gap has a density f / scale at 0, with f = C (C - 1) times the
integral of phi^2 Phi^(C - 2), and so

    changed rows = rows * f / scale * 2^-25 / 2

as long as the logits are so small that their own spacing is finer; larger ones do not come so close.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate, stats

import mlp_jax
from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.statistics import Statistic, exact, median
from experiments.tasks import generator

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


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Predict with and without softmax, and take the time.

    Returns:
      How many predictions are "changed" by softmax, and in how many of them p is no tie, "worse", for every scale, the
      scale of ties last; and the "time" with softmax over that without, for every repeat.
    """
    rng = generator(key)
    z = rng.standard_normal((config.rows, config.classes)).astype(np.float32)
    counts = [compare_predictions(np.float32(scale) * z) for scale in (*config.scales, config.tie_scale)]
    progress(0.5)
    return {
        "scale": np.array([*config.scales, config.tie_scale]),
        "changed": np.array([int(changed) for changed, _ in counts]),
        "worse": np.array([int(worse) for _, worse in counts]),
        "time": times_without_softmax(z[: config.timed_rows], config.repeats),
    }


def expected_changes(n: Numbers, scale: float) -> float:
    """Return how many predictions change through ties, for small logits."""
    C = n.config.classes
    density = C * (C - 1) * integrate.quad(lambda x: stats.norm.pdf(x) ** 2 * stats.norm.cdf(x) ** (C - 2), -10, 10)[0]
    return float(n.config.rows * density / scale * 2.0**-25 / 2)


@at_most(
    3,
    "At scales of 0.1 and more leaving softmax out changes no prediction, but for a tie or two in millions.",
    source="derived, above: only ties, of which one is expected at a scale of 0.1, and more than 3 less than once in "
    "2,000 runs",
    how="changed predictions in {n.config.rows:,} rows in float32 at each scale of {n.config.scales}",
)
def changed(n: Numbers) -> Statistic:
    return exact(n["changed"][:-1].sum())


@at_most(
    0,
    "Where softmax predicts another class, it is a tie of probabilities.",
    source="derived: exp is monotone, and so is rounding",
    how="rows in which the class of the largest logit has a smaller p than another; {n.config.rows:,} at each scale",
    must=True,
)
def worse(n: Numbers) -> Statistic:
    return exact(n["worse"].sum())


@equals(
    lambda n: expected_changes(n, n.config.tie_scale),
    "Where all logits are within about 0.001, rounding of p changes the prediction of a few rows.",
    within=lambda n: 3 * math.sqrt(expected_changes(n, n.config.tie_scale)),
    source="derived, above",
    how="changed predictions in {n.config.rows:,} rows, float32; 3 standard deviations of Poisson",
)
def ties(n: Numbers) -> Statistic:
    return exact(n["changed"][-1])


@at_least(
    1,
    "Without softmax the step from logits to classes is faster.",
    source="derived: no exp, sum and division",
    how="time with softmax over time without, {n.config.timed_rows:,} rows, compiled, in turn; a network's own time, "
    "which softmax hardly changes, not included",
)
def speedup(n: Numbers) -> Statistic:
    return median(n["time"])


@jax.jit
def compare_predictions(z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return how many rows are predicted otherwise with softmax, and in how many the class has not the largest p."""
    p = mlp_jax.softmax(z)
    without = mlp_jax.predict(z)
    p_predicted = jnp.take_along_axis(p, without[:, None], axis=1)[:, 0]
    return jnp.sum(mlp_jax.predict(p) != without), jnp.sum(p_predicted < jnp.max(p, axis=1))


def times_without_softmax(z: np.ndarray, repeats: int) -> np.ndarray:
    """Return the time with softmax over the time without, for every repeat."""
    on_device = jax.device_put(z)
    without = jax.jit(mlp_jax.predict)
    with_softmax = jax.jit(lambda z: mlp_jax.predict(mlp_jax.softmax(z)))
    for predict in (without, with_softmax):
        predict(on_device).block_until_ready()
    return np.array([seconds(with_softmax, on_device) / seconds(without, on_device) for _ in range(repeats)])


def seconds(f: Callable[[jax.Array], jax.Array], z: jax.Array) -> float:
    """Return how long f(z) takes."""
    start = time.perf_counter()
    f(z).block_until_ready()
    return time.perf_counter() - start
