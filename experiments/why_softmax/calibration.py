"""Where the probability itself is used it has to be right: calibration by temperature.

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
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

import mlp_jax
from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs

FORMULA = (
    r"p = \mathrm{softmax}(z / T), \qquad "
    r"\mathrm{ECE} = \sum_b \frac{n_b}{n} \, | \mathrm{right}_b - \mathrm{confidence}_b |"
)
CAPTION = (
    "How often a prediction of some confidence is right: too rarely before, as often as it says after calibration."
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


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Calibrate for many seeds."""
    with jax.enable_x64(True):
        found = over_runs(partial(calibrate, config=config), (jax.random.split(key, config.seeds),))
    data = {
        "before": found.before.bins.sum(axis=0),
        "after": found.after.bins.sum(axis=0),
        "temperature": config.temperature,
        "ece": {"before": float(found.before.ece.mean()), "after": float(found.after.ece.mean())},
    }
    return Finding((*temperature_claims(config, found), *calibration_claims(config, found)), data)


class Reliability(NamedTuple):
    """Of some predictions.

    Attributes:
      bins: the number of examples, and the sums of confidence, right predictions and true probability, (4, BINS).
      ece: the expected calibration error.
      limit: what it would be with the true probability of being right in place of being right.
      floor: what sampling alone makes of it, if the confidence is right: the mean of |a normal| in each bin.
      accepted: the share that is right of those with a confidence at the threshold or above.
    """

    bins: jax.Array
    ece: jax.Array
    limit: jax.Array
    floor: jax.Array
    accepted: jax.Array


class Calibration(NamedTuple):
    """Of one seed: temperature, Fisher information in 1/T, reliability, and how many predictions T changed."""

    temperature: Any
    information: Any
    before: Any
    after: Any
    changed: Any


def calibrate(key: jax.Array, *, config: Config) -> Calibration:
    """Draw logits and labels, fit the temperature to the first half and measure on the second."""
    of_logits, of_labels = jax.random.split(key)
    z = config.logit_scale * jax.random.normal(of_logits, (2, config.examples, config.classes))
    labels = jax.random.categorical(of_labels, z / config.temperature)
    (z, test_z), (labels, test_labels) = z, labels
    T = fitted_temperature(z, labels)
    truth = mlp_jax.softmax(test_z / config.temperature)
    before, after = (reliability(mlp_jax.softmax(test_z / t), truth, test_labels, config.threshold) for t in (1.0, T))
    changed = jnp.sum(mlp_jax.predict(test_z / T) != mlp_jax.predict(test_z))
    return Calibration(T, jnp.mean(variance(test_z, truth)), before, after, changed)


def variance(z: jax.Array, p: jax.Array) -> jax.Array:
    """The variance of z_j under p, of every row."""
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


def temperature_claims(config: Config, found: Calibration) -> list[Claim]:
    """The fitted temperature is the true one, and as uncertain as Fisher's information says."""
    n, k, T0 = config.examples, config.seeds, config.temperature
    error = T0**2 / math.sqrt(n * float(np.mean(found.information)))
    mean, interval = mean_and_interval(found.temperature)
    ratio = float(np.std(found.temperature, ddof=1)) / error
    low, high = np.sqrt((k - 1) / stats.chi2.ppf([0.975, 0.025], k - 1))
    setting = f"labels from softmax(z / {T0:g}), T fitted to {n:,} of them"
    return [
        Claim(
            "temperature",
            "The temperature that minimises cross-entropy is the one the labels were drawn with.",
            "=",
            T0,
            "derived: cross-entropy is least at the truth; Guo et al. (2017) have the method",
            mean,
            f"{setting}, mean; three standard errors of theory, and its bias, of order 1/n",
            interval,
            k,
            3 * error / math.sqrt(k) + error**2,
        ),
        Claim(
            "temperature error",
            "It is as uncertain as the Fisher information says.",
            "=",
            1,
            "derived: T0^2 / sqrt(n I), where I is the mean variance of the logits under p",
            ratio,
            f"{setting}: standard deviation over seeds over theory's, {error:.2g}; three standard errors",
            (ratio * float(low), ratio * float(high)),
            k,
            3 / math.sqrt(2 * k),
        ),
    ]


def calibration_claims(config: Config, found: Calibration) -> list[Claim]:
    """Before and after, and what does not change."""
    k = config.seeds
    limit, floor = float(found.before.limit.mean()), float(found.after.floor.mean())
    ece = {name: mean_and_interval(r.ece) for name, r in (("before", found.before), ("after", found.after))}
    error = float(found.after.ece.std(ddof=1)) / math.sqrt(k)
    accepted = mean_and_interval(found.after.accepted)
    setting = f"{BINS} bins, {config.examples:,} fresh examples, mean over seeds"
    return [
        Claim(
            "ECE before",
            "Probabilities from logits that are too large are too sure of themselves.",
            "=",
            limit,
            "derived: the calibration error with the true probability of being right in place of being right",
            ece["before"][0],
            f"expected calibration error; {setting}; the tolerance is what sampling alone adds at most",
            ece["before"][1],
            k,
            floor,
        ),
        Claim(
            "ECE after",
            "Divided by the temperature they are calibrated: what is left of the error is sampling.",
            "=",
            floor,
            "derived: the mean of |right - expected| of each bin, as of a normal variable",
            ece["after"][0],
            f"expected calibration error; {setting}; three standard errors, and 10 % for bins with few examples "
            "and for the error of T",
            ece["after"][1],
            k,
            0.1 * floor + 3 * error,
        ),
        Claim(
            "threshold",
            f"After that, answers given with a confidence of {config.threshold:g} or more are right that often or "
            "more.",
            ">=",
            config.threshold,
            "derived: calibrated predictions are right as often as their mean confidence",
            accepted[0],
            f"share of accepted answers that are right, mean over seeds; before: {found.before.accepted.mean():.1%}",
            accepted[1],
            k,
        ),
        Claim(
            "predictions changed by T",
            "The temperature changes no prediction.",
            "<=",
            0,
            "derived: z / T has the order of z",
            int(found.changed.sum()),
            f"of {k * config.examples:,}, in float64",
            exact=True,
        ),
    ]


def picture(data: dict[str, Any]) -> Figure:
    """Reliability before and after."""
    figure, axes = plt.subplots(figsize=(5.5, 4.6), layout="constrained")
    axes.plot([0, 1], [0, 1], color="black", ls="--", lw=1, label="calibrated")
    styles = {"before": ("s-", "tab:orange", "softmax(z)"), "after": ("o-", "tab:blue", "softmax(z / T), T fitted")}
    for name, (marker, color, what) in styles.items():
        bins = np.array(data[name])
        counts, confidence, right, _ = bins[:, bins[0] >= 100]
        label = f"{what}: ECE {data['ece'][name]:.3f}"
        axes.plot(confidence / counts, right / counts, marker, color=color, ms=5, label=label)
    axes.set(xlabel="confidence, the largest p", ylabel="share of predictions that are right", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"Labels drawn from softmax(z / {data['temperature']:g})")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="upper left")
    return figure
