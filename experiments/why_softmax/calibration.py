"""Temperatures fitted to labels that were drawn with a known one, and the calibration error before and after.

Labels drawn from softmax(z / T0), for normal logits z of 10 classes, are predicted by softmax(z), which is too sure of
itself. The temperature T that minimises cross-entropy of z / T is found by Newton's method (Guo et al., 2017); the
expected calibration error is measured on as many fresh examples, in 15 bins of equal width. All in float64.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

import mlp_jax
from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, exact, mean
from experiments.runs_at_once import over_runs
from experiments.tasks import generator

FORMULA = (
    r"p = \mathrm{softmax}(z / T), \qquad "
    r"\mathrm{ECE} = \sum_b \frac{n_b}{n} \, | \mathrm{right}_b - \mathrm{confidence}_b |"
)
BINS = 15
NEWTON_STEPS = 10


@dataclass(frozen=True)
class Config:
    """The temperature is fitted, the rest is held fixed."""

    classes: int = 10
    examples: int = 10_000  # to fit the temperature, and again to measure
    logit_scale: float = 4.0
    temperature: float = 2.0
    threshold: float = 0.9
    seeds: int = 100


FULL = Config()
QUICK = Config(seeds=10)


class Reliability(NamedTuple):
    """Of some predictions.

    Attributes:
      bins: the number of examples, and the sums of confidence, right predictions and true probability, (4, BINS).
      ece: the expected calibration error.
      limit: what it would be with the true probability of being right in place of being right.
      floor: what sampling alone makes of it, if the confidence is right: the mean of |a normal| in each bin.
      accepted: the share that is right of those with a confidence at the threshold or above.
    """

    bins: Any
    ece: Any
    limit: Any
    floor: Any
    accepted: Any


class Calibration(NamedTuple):
    """Of one seed: temperature, Fisher information in 1/T, reliability, and how many predictions T changed."""

    temperature: Any
    information: Any
    before: Any
    after: Any
    changed: Any


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Calibrate for many seeds, and return the fields of `Calibration` and `Reliability`, seeds first."""
    rng = generator(key)
    z = config.logit_scale * rng.standard_normal((config.seeds, 2, config.examples, config.classes))
    labels = np.argmax(z / config.temperature + rng.gumbel(size=z.shape), axis=-1)  # from softmax(z / T0)
    with jax.enable_x64(True):
        found = over_runs(partial(calibrate, config=config), (z, labels))
    named = {name: getattr(found, name) for name in ("temperature", "information", "changed")}
    for when, reliability in (("before", found.before), ("after", found.after)):
        named |= {f"{name} {when}": values for name, values in reliability._asdict().items()}
    return named


def standard_error(n: Numbers) -> float:
    """Return theory's standard deviation of a fitted temperature, T0^2 / sqrt(n I)."""
    return n.config.temperature**2 / math.sqrt(n.config.examples * float(np.mean(n["information"])))


FITTED = "labels from softmax(z / {n.config.temperature:g}), T fitted to {n.config.examples:,} of them"
BINNED = "expected calibration error; 15 bins, {n.config.examples:,} fresh examples"


@equals(
    lambda n: n.config.temperature,
    "The temperature that minimises cross-entropy is the one the labels were drawn with.",
    within=lambda n: 3 * standard_error(n) / math.sqrt(n.config.seeds) + standard_error(n) ** 2,
    source="derived: cross-entropy is least at the truth; Guo et al. (2017) have the method",
    how=FITTED + "; three standard errors of theory, and its bias, of order 1/n",
)
def temperature(n: Numbers) -> Statistic:
    return mean(n["temperature"])


@equals(
    1,
    "It is as uncertain as the Fisher information says.",
    within=lambda n: 3 / math.sqrt(2 * n.config.seeds),
    source="derived: T0^2 / sqrt(n I), where I is the mean variance of the logits under p",
    how=FITTED + ": standard deviation over seeds over theory's; three standard errors",
)
def temperature_error(n: Numbers) -> Statistic:
    k = len(n["temperature"])
    ratio = float(np.std(n["temperature"], ddof=1)) / standard_error(n)
    low, high = ratio * np.sqrt((k - 1) / stats.chi2.ppf([0.975, 0.025], k - 1))
    return Statistic(ratio, "standard deviation over theory's", k, (float(low), float(high)))


@equals(
    lambda n: n["limit before"].mean(),
    "Probabilities from logits that are too large are too sure of themselves.",
    within=lambda n: n["floor after"].mean(),
    source="derived: the calibration error with the true probability of being right in place of being right",
    how=BINNED + "; the tolerance is what sampling alone adds at most",
)
def ECE_before(n: Numbers) -> Statistic:
    return mean(n["ece before"])


@equals(
    lambda n: n["floor after"].mean(),
    "Divided by the temperature they are calibrated: what is left of the error is sampling.",
    within=lambda n: 0.1 * n["floor after"].mean() + 3 * n["ece after"].std(ddof=1) / math.sqrt(n.config.seeds),
    source="derived: the mean of |right - expected| of each bin, as of a normal variable",
    how=BINNED + "; three standard errors, and 10 % for bins with few examples and for the error of T",
)
def ECE_after(n: Numbers) -> Statistic:
    return mean(n["ece after"])


@at_least(
    lambda n: n.config.threshold,
    "After that, answers given with a confidence of {n.config.threshold:g} or more are right that often or more.",
    source="derived: calibrated predictions are right as often as their mean confidence",
    how="share of accepted answers that are right",
)
def threshold(n: Numbers) -> Statistic:
    return mean(n["accepted after"])


@at_most(
    0,
    "The temperature changes no prediction.",
    source="derived: z / T has the order of z",
    how="of {n.config.examples:,} for each seed, in float64",
    must=True,
)
def predictions_changed_by_T(n: Numbers) -> Statistic:
    return exact(n["changed"].sum())


def picture(n: Numbers) -> Figure:
    """Draw reliability before and after."""
    figure, axes = panels(figsize=(5.5, 4.6))
    axes.plot([0, 1], [0, 1], color="black", ls="--", lw=1, label="calibrated")
    styles = {"before": ("s-", "tab:orange", "softmax(z)"), "after": ("o-", "tab:blue", "softmax(z / T), T fitted")}
    for name, (marker, color, what) in styles.items():
        bins = n[f"bins {name}"].sum(axis=0)
        counts, confidence, right, _ = bins[:, bins[0] >= 100]
        label = f"{what}: ECE {n[f'ece {name}'].mean():.3f}"
        axes.plot(confidence / counts, right / counts, marker, color=color, ms=5, label=label)
    axes.set(xlabel="confidence, the largest p", ylabel="share of predictions that are right", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"Labels drawn from softmax(z / {n.config.temperature:g})")
    axes.legend(loc="upper left")
    return figure


def calibrate(z: jax.Array, labels: jax.Array, *, config: Config) -> Calibration:
    """Fit the temperature to the first half and measure on the second."""
    (z, test_z), (labels, test_labels) = z, labels
    T = fitted_temperature(z, labels)
    truth = mlp_jax.softmax(test_z / config.temperature)
    before, after = (reliability(mlp_jax.softmax(test_z / t), truth, test_labels, config.threshold) for t in (1.0, T))
    changed = jnp.sum(mlp_jax.predict(test_z / T) != mlp_jax.predict(test_z))
    return Calibration(T, jnp.mean(variance(test_z, truth)), before, after, changed)


def variance(z: jax.Array, p: jax.Array) -> jax.Array:
    """Return the variance of z_j under p, of every row."""
    return jnp.sum(p * z**2, axis=1) - jnp.sum(p * z, axis=1) ** 2


def fitted_temperature(z: jax.Array, labels: jax.Array) -> jax.Array:
    """Minimise cross-entropy of z / T by Newton's method in 1 / T, in which it is convex, from 1."""

    def newton(beta: jax.Array, _: None) -> tuple[jax.Array, None]:
        slope = jnp.sum(z * mlp_jax.cross_entropy.logits_gradient(beta * z, labels))
        return beta - slope / jnp.mean(variance(z, mlp_jax.softmax(beta * z))), None

    return 1 / jax.lax.scan(newton, jnp.ones((), z.dtype), length=NEWTON_STEPS)[0]


def reliability(p: jax.Array, truth: jax.Array, labels: jax.Array, threshold: float) -> Reliability:
    """Hold confidence, the largest p, against how often the prediction is right."""
    predicted = mlp_jax.predict(p)
    confidence = jnp.max(p, axis=1)
    right = (predicted == labels).astype(p.dtype)
    true_probability = jnp.take_along_axis(truth, predicted[:, None], axis=1)[:, 0]
    b = jnp.clip((confidence * BINS).astype(int), 0, BINS - 1)

    def sums(values: jax.Array) -> jax.Array:
        return jnp.bincount(b, values, length=BINS)

    counts, conf, hits, true = map(sums, (jnp.ones_like(confidence), confidence, right, true_probability))
    spread = sums(confidence * (1 - confidence))
    accepted = confidence >= threshold
    n = len(p)
    return Reliability(
        bins=jnp.stack([counts, conf, hits, true]),
        ece=jnp.sum(jnp.abs(hits - conf)) / n,
        limit=jnp.sum(jnp.abs(true - conf)) / n,
        floor=jnp.sum(jnp.sqrt(2 / jnp.pi * spread)) / n,
        accepted=jnp.sum(right * accepted) / jnp.sum(accepted),
    )
