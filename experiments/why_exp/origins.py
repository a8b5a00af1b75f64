"""Choices under noise, and the highest entropy that a mean allows: two ways to exp that do not assume it.

Noise: of options with values z, the one with the largest z + noise is chosen. The shares of the choices are drawn, and
computed by quadrature of P_i = integral of f(x) prod_{j != i} F(x + z_i - z_j) dx, f the noise's density and F its
distribution. The third option's value is varied, and the odds P_1 / P_2 watched. Entropy: -sum p log p is raised under
sum p = 1 and sum p z = m by Newton's method on p itself, which knows no exp. Its p is compared with exp(beta z) / Z
with the beta that gives the mean m.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy import integrate, optimize, special, stats

from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, largest
from experiments.tasks import generator

FORMULA = (
    r"P\left(\mathrm{argmax}_j (z_j + g_j) = i\right) = \frac{e^{z_i}}{\sum_k e^{z_k}}, \qquad"
    r" \max_p \left( -\sum_j p_j \log p_j \right) \; \text{with} \; \sum_j p_j z_j = m"
    r" \;\Rightarrow\; p_j = \frac{e^{\beta z_j}}{Z}"
)


@dataclass(frozen=True)
class Config:
    """The noise, the third option and the mean are varied."""

    draws: int = 1_000_000
    values: tuple[tuple[float, ...], ...] = ((1.0, 0.0, 0.0), (2.0, 1.0, 0.0, -1.0), (0.0, 0.5, 1.0, 1.5, 2.0))
    false_alarms: float = 1e-4  # how often chance alone may break a claim about shares
    third: tuple[float, ...] = tuple(i / 2 for i in range(-6, 7))  # its value, beside 1 and 0
    problems: int = 50  # of highest entropy: random z, random mean
    options: int = 6


FULL = Config()
QUICK = Config(draws=100_000, problems=10)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Draw choices under both noises, and find the distributions of highest entropy.

    Returns:
      "share" of each option of all values under Gumbel noise. For each noise, the probabilities of options of values
      (1, 0), "two", and (1, 0, "third"), "three", by quadrature, and as "drawn". For each problem p of "highest
      entropy" and "exp".
    """
    rng = generator(key)
    noises: dict[str, Noise] = {
        "Gumbel": (rng.gumbel, lambda x: np.exp(-x - np.exp(-x)), lambda x: np.exp(-np.exp(-x))),
        "Gaussian": (rng.normal, lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi), special.ndtr),
    }
    share = [drawn(rng.gumbel, z, config.draws) for z in config.values]
    progress(1 / 4)
    three = [(1.0, 0.0, third) for third in config.third]
    draws = [[drawn(draw, z, config.draws) for z in three] for draw, _, _ in noises.values()]
    progress(3 / 4)
    problems = []
    for _ in range(config.problems):
        z = rng.normal(size=config.options) * rng.choice([0.3, 1.0, 3.0])
        problems.append((z, z.min() + rng.uniform(0.1, 0.9) * np.ptp(z)))
    return {
        "share": np.concatenate(share),
        "noise": np.array(list(noises)),
        "third": np.array(config.third),
        "two": np.array([chosen(f, F, (1.0, 0.0)) for _, f, F in noises.values()]),
        "three": np.array([[chosen(f, F, z) for z in three] for _, f, F in noises.values()]),
        "drawn": np.array(draws),
        "highest entropy": np.array([most_entropy(z, m) for z, m in problems]),
        "exp": np.array([exp_with_mean(z, m) for z, m in problems]),
    }


Noise = tuple[Callable[..., np.ndarray], Callable[[float], float], Callable[[float], float]]  # draws, f, F


def drawn(draw: Callable[..., np.ndarray], z: Sequence[float], draws: int) -> np.ndarray:
    """Return how often each option has the largest z + noise."""
    choices = np.argmax(np.array(z) + draw(size=(draws, len(z))), axis=1)
    return np.bincount(choices, minlength=len(z)) / draws


def chosen(density: Callable[[float], float], distribution: Callable[[float], float], z: Sequence[float]) -> np.ndarray:
    """Return the probability that each option has the largest z + noise, by quadrature."""

    def integrand(x: float, i: int) -> float:
        others = [distribution(x + z[i] - z[j]) for j in range(len(z)) if j != i]
        return density(x) * float(np.prod(others))

    options = range(len(z))
    return np.array([integrate.quad(integrand, -6, 40, args=(i,), epsabs=1e-13, limit=200)[0] for i in options])


def most_entropy(z: np.ndarray, m: float) -> np.ndarray:
    """Return the p of highest entropy with mean m, by Newton's method on p and its two multipliers.

    The gradient of sum p log p is log p + 1, its Hessian diag(1 / p). A step is shortened so that p stays positive.
    """
    A, b = np.stack([np.ones_like(z), z]), np.array([1.0, m])
    p = np.full(len(z), 1 / len(z))
    for _ in range(100):
        hessian = np.block([[np.diag(1 / p), A.T], [A, np.zeros((2, 2))]])
        step = np.linalg.solve(hessian, np.concatenate([-np.log(p) - 1, b - A @ p]))[: len(z)]
        p = p + min(1.0, 0.9 / np.max(-step / p, initial=0.9)) * step
        if np.max(np.abs(step)) < 1e-15:
            break
    return p


def exp_with_mean(z: np.ndarray, m: float) -> np.ndarray:
    """Return exp(beta z) / Z with the beta that gives the mean m."""
    beta = optimize.brentq(lambda beta: special.softmax(beta * z) @ z - m, -1e3, 1e3, xtol=1e-14, rtol=1e-15)
    return special.softmax(beta * z)


OF_TWO_NORMALS = float(special.ndtr(np.sqrt(0.5)) / special.ndtr(-np.sqrt(0.5)))
CHANCE = (
    "standard errors, {n.config.draws:,} draws; the bound is such that chance breaks one of the comparisons of shares "
    "and of odds in {n.config.false_alarms:g} of all runs"
)


def odds(P: np.ndarray) -> np.ndarray:
    """Return P_1 / P_2 of the last axis."""
    return P[..., 0] / P[..., 1]


def standard_error(n: Numbers) -> np.ndarray:
    """Return the standard error of the odds that are drawn (noises, thirds)."""
    P = n["three"]
    return odds(P) * np.sqrt((1 / P[..., 0] + 1 / P[..., 1]) / n.config.draws)


def by_chance(n: Numbers) -> float:
    """Return how many standard errors the largest of all deviations exceeds by chance in few of all runs."""
    compared = n["share"].size + odds(n["drawn"]).size
    return float(stats.norm.isf(n.config.false_alarms / 2 / compared))


@at_most(
    by_chance,
    "With Gumbel noise the largest of z + noise is option i as often as softmax says.",
    source="Gumbel, 1954; Yellott, 1977; derived: the integral above is softmax",
    how="deviation of a share, in " + CHANCE,
)
def Gumbel(n: Numbers) -> Statistic:
    p = np.concatenate([special.softmax(z) for z in n.config.values])
    return largest(np.abs(n["share"] - p) / np.sqrt(p * (1 - p) / n.config.draws))


@at_most(
    1e-9,
    "With Gumbel noise a third option leaves the odds of the other two as they are.",
    source="Luce, 1959: p_1 / p_2 = exp(z_1 - z_2)",
    how="relative distance of p_1 / p_2 from e, by quadrature, z = (1, 0) and (1, 0, z_3), z_3 in {n.config.third}; "
    "quadrature is told 1e-13",
    must=True,
)
def Gumbel_odds(n: Numbers) -> Statistic:
    i = n.at(noise="Gumbel")
    return largest(np.abs(np.append(odds(n["three"][i]), odds(n["two"][i])) / np.e - 1))


@equals(
    OF_TWO_NORMALS,
    "With Gaussian noise and no third option the odds are those of two normals.",
    within=1e-9,
    source="derived: F(1 / sqrt 2) / F(-1 / sqrt 2), F the normal distribution",
    how="p_1 / p_2 by quadrature, z = (1, 0); quadrature is told 1e-13",
    must=True,
)
def Gaussian_odds_without(n: Numbers) -> float:
    return float(odds(n["two"][n.at(noise="Gaussian")]))


@at_least(
    1.01 * OF_TWO_NORMALS,
    "With Gaussian noise a third option changes the odds of the other two.",
    source="Yellott, 1977: of all noises only Gumbel's keeps them",
    how="p_1 / p_2 by quadrature, z = (1, 0, 0): above what it is without the third by 1 % or more; quadrature errs by "
    "1e-9",
    must=True,
)
def Gaussian_odds_with(n: Numbers) -> float:
    return float(odds(n["three"][n.at(noise="Gaussian"), n.at(third=0.0)]))


@at_most(
    by_chance,
    "Draws give the odds that quadrature gives, for both noises.",
    source="the variance of the logarithm of p_1 / p_2 is (1 / P_1 + 1 / P_2) / draws",
    how="deviation of p_1 / p_2, in " + CHANCE,
)
def draws(n: Numbers) -> Statistic:
    return largest(np.abs(odds(n["drawn"]) - odds(n["three"])) / standard_error(n))


@at_most(
    1e-10,
    "Of all distributions with a given mean, exp(beta z) / Z has the highest entropy.",
    source="Jaynes, 1957",
    how="distance of a probability, {n.config.problems} problems of {n.config.options} random values, a random mean; "
    "the bound is rounding, times the condition of beta",
    must=True,
)
def entropy(n: Numbers) -> Statistic:
    return largest(np.abs(n["highest entropy"] - n["exp"]))


def picture(n: Numbers) -> Figure:
    """Draw the odds of the first option against the second, over the value of the third."""
    figure, axes = panels(figsize=(6.5, 4.2))
    rows = zip(n["noise"], odds(n["two"]), odds(n["three"]), odds(n["drawn"]), standard_error(n), strict=True)
    for (noise, without, exact, found, error), color, marker in zip(rows, ("C0", "C1"), "os", strict=True):
        axes.axhline(without, color=color, ls=":", lw=1)
        axes.plot(n["third"], exact, color=color, label=f"{noise} noise, by quadrature")
        axes.errorbar(n["third"], found, 2 * error, fmt=marker, ms=4, color=color, label=f"{noise} noise, drawn")
    axes.set(xlabel="value z₃ of the third option (z₁ = 1, z₂ = 0)", ylabel="odds p₁ / p₂")
    axes.set_title("Odds of two options as a third one gets better (dotted: without it)")
    axes.legend(loc="upper left")
    return figure
