"""Temperatures fitted to labels that were drawn with a known one, and the calibration error before and after.

Labels drawn from softmax(z / T0), for normal logits z of 10 classes, are predicted by softmax(z), which is too sure of
itself. The temperature T that minimises cross-entropy of z / T is found by Newton's method (Guo et al., 2017); the
expected calibration error is measured on as many fresh examples, in 15 bins of equal width. All in float64.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

import mlp_jax
from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, exact, mean
from experiments.tasks import generator

FORMULA = (
    r"p = \mathrm{softmax}(z / T), \qquad "
    r"\mathrm{ECE} = \sum_b \frac{n_b}{n} \, | \mathrm{right}_b - \mathrm{confidence}_b |"
)
BINS = 15
QUANTITIES = ("examples", "confidence", "right", "truth", "spread")  # spread: of the number that is right
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


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Return what `calibrated` finds, seeds first."""
    rng, found = generator(key), []
    for i in range(config.seeds):
        progress(i / config.seeds)
        found.append(calibrated(rng, config))
    return {name: np.array([of_seed[name] for of_seed in found]) for name in found[0]}


def calibrated(rng: np.random.Generator, config: Config) -> dict[str, Any]:
    """Draw logits and labels, fit the temperature to one half, and measure on the other.

    Returns:
      The fitted "temperature"; the Fisher "information" in 1/T; "bins before" and "bins after", of `reliability`; the
      share "accepted before" and "accepted after" that is right; and how many predictions the temperature "changed".
    """
    z = config.logit_scale * rng.standard_normal((2, config.examples, config.classes))
    labels = np.argmax(z / config.temperature + rng.gumbel(size=z.shape), axis=-1)  # from softmax(z / T0)
    (z, test_z), (labels, test_labels) = z, labels
    T = fitted_temperature(z, labels)
    truth = softmax(test_z / config.temperature)
    found = {
        "temperature": T,
        "information": np.mean(variance(test_z, truth)),
        "changed": np.sum(np.argmax(test_z / T, axis=1) != np.argmax(test_z, axis=1)),
    }
    for when, p in (("before", softmax(test_z)), ("after", softmax(test_z / T))):
        confidence, right = np.max(p, axis=1), np.argmax(p, axis=1) == test_labels
        found[f"bins {when}"] = reliability(p, truth, right)
        found[f"accepted {when}"] = np.mean(right[confidence >= config.threshold])
    return found


def calibration_error(n: Numbers, when: str, against: str = "right") -> np.ndarray:
    """Return the expected calibration error of every seed, against what was right or against its true probability."""
    bins = dict(zip(QUANTITIES, np.moveaxis(n[f"bins {when}"], 1, 0), strict=True))
    return np.sum(np.abs(bins[against] - bins["confidence"]), axis=1) / n.config.examples


def sampling(n: Numbers) -> float:
    """Return what sampling alone makes of the error if confidence is right: the mean of |a normal| in each bin."""
    spread = n["bins after"][:, QUANTITIES.index("spread")]
    return float(np.mean(np.sum(np.sqrt(2 / np.pi * spread), axis=1)) / n.config.examples)


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
    lambda n: calibration_error(n, "before", against="truth").mean(),
    "Probabilities from logits that are too large are too sure of themselves.",
    within=sampling,
    source="derived: the calibration error with the true probability of being right in place of being right",
    how=BINNED + "; the tolerance is what sampling alone adds at most",
)
def ECE_before(n: Numbers) -> Statistic:
    return mean(calibration_error(n, "before"))


@equals(
    sampling,
    "Divided by the temperature they are calibrated: what is left of the error is sampling.",
    within=lambda n: 0.1 * sampling(n) + 3 * calibration_error(n, "after").std(ddof=1) / math.sqrt(n.config.seeds),
    source="derived: the mean of |right - expected| of each bin, as of a normal variable",
    how=BINNED + "; three standard errors, and 10 % for bins with few examples and for the error of T",
)
def ECE_after(n: Numbers) -> Statistic:
    return mean(calibration_error(n, "after"))


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
        counts, confidence, right, *_ = bins[:, bins[0] >= 100]
        label = f"{what}: ECE {calibration_error(n, name).mean():.3f}"
        axes.plot(confidence / counts, right / counts, marker, color=color, ms=5, label=label)
    axes.set(xlabel="confidence, the largest p", ylabel="share of predictions that are right", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"Labels drawn from softmax(z / {n.config.temperature:g})")
    axes.legend(loc="upper left")
    return figure


def softmax(z: np.ndarray) -> np.ndarray:
    """Return the probabilities of every row, in float64."""
    with jax.enable_x64(True):
        return np.asarray(mlp_jax.softmax(z))


def variance(z: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the variance of z_j under p, of every row."""
    return np.sum(p * z**2, axis=1) - np.sum(p * z, axis=1) ** 2


def fitted_temperature(z: np.ndarray, labels: np.ndarray) -> float:
    """Minimise cross-entropy of z / T by Newton's method in 1 / T, in which it is convex, from 1."""
    beta, y = 1.0, np.eye(z.shape[1])[labels]
    for _ in range(NEWTON_STEPS):
        p = softmax(beta * z)
        beta -= np.sum(z * (p - y)) / np.sum(variance(z, p))
    return 1 / beta


def reliability(p: np.ndarray, truth: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the sums of `QUANTITIES` in each bin of confidence, the largest p (quantities, BINS)."""
    confidence = np.max(p, axis=1)
    true_probability = truth[np.arange(len(p)), np.argmax(p, axis=1)]
    b = np.minimum((confidence * BINS).astype(int), BINS - 1)
    quantities = np.ones(len(p)), confidence, right, true_probability, confidence * (1 - confidence)
    return np.array([np.bincount(b, values, BINS) for values in quantities])
