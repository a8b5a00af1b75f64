"""Where exp comes from: from choices under Gumbel noise, and from the highest entropy that a mean allows.

Noise: of options with values z, the one with the largest z + noise is chosen. The shares of the choices are drawn, and
computed by quadrature of P_i = integral of f(x) prod_{j != i} F(x + z_i - z_j) dx, f the noise's density and F its
distribution; the third option's value is varied, and the ratio P_1 / P_2 watched. Entropy: -sum p log p is raised under
sum p = 1 and sum p z = m by Newton's method on p itself, which knows no exp; its p is held against exp(beta z) / Z with
the beta that gives the mean m.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy import integrate, optimize, special, stats

from experiments.protocol import Claim, Finding, Progress
from experiments.tasks import generator

FORMULA = (
    r"P\left(\mathrm{argmax}_j (z_j + g_j) = i\right) = \frac{e^{z_i}}{\sum_k e^{z_k}}, \qquad"
    r" \max_p \left( -\sum_j p_j \log p_j \right) \; \text{with} \; \sum_j p_j z_j = m"
    r" \;\Rightarrow\; p_j = \frac{e^{\beta z_j}}{Z}"
)
CAPTION = (
    "How a third option changes the odds of the first against the second: not at all with Gumbel noise, which makes "
    "softmax, but with Gaussian noise."
)

SQUARE_ROOT_OF_2 = float(np.sqrt(2))


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


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Draw choices under both noises, and find the distributions of highest entropy."""
    rng = generator(key)
    noises: dict[str, Noise] = {
        "Gumbel": (rng.gumbel, lambda x: np.exp(-x - np.exp(-x)), lambda x: np.exp(-np.exp(-x))),
        "Gaussian": (rng.normal, lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi), special.ndtr),
    }
    deviations = []
    for i, z in enumerate(config.values):
        progress(i / len(config.values) / 4)
        p = special.softmax(z)
        deviations += list((drawn(rng.gumbel, z, config.draws) - p) / np.sqrt(p * (1 - p) / config.draws))
    ratios: dict[str, Any] = {}
    for i, (name, (draw, density, distribution)) in enumerate(noises.items()):
        progress(1 / 4 + i / 4)
        without = chosen(density, distribution, (1.0, 0.0))
        by_quadrature = [chosen(density, distribution, (1.0, 0.0, third)) for third in config.third]
        by_draws = [drawn(draw, (1.0, 0.0, third), config.draws) for third in config.third]
        ratios[name] = {
            "without": without[0] / without[1],
            "quadrature": [P[0] / P[1] for P in by_quadrature],
            "drawn": [P[0] / P[1] for P in by_draws],
            "sigma": [P[0] / P[1] * np.sqrt((1 / P[0] + 1 / P[1]) / config.draws) for P in by_quadrature],
        }
    progress(3 / 4)
    distances = []
    for _ in range(config.problems):
        z = rng.normal(size=config.options) * rng.choice([0.3, 1.0, 3.0])
        m = z.min() + rng.uniform(0.1, 0.9) * np.ptp(z)
        distances.append(float(np.max(np.abs(most_entropy(z, m) - exp_with_mean(z, m)))))
    data = {"third": config.third, "ratios": ratios, "deviations": deviations, "distances": distances}
    return Finding(claims(config, np.array(deviations), ratios, distances), data)


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


def claims(config: Config, deviations: np.ndarray, ratios: dict[str, Any], distances: list[float]) -> tuple[Claim, ...]:
    """The claims on noise and on entropy."""
    compared = len(deviations) + 2 * len(config.third)
    bound = float(stats.norm.isf(config.false_alarms / 2 / compared))
    off = max(
        float(np.max(np.abs(np.array(row["drawn"]) - row["quadrature"]) / row["sigma"])) for row in ratios.values()
    )
    equal = config.third.index(0.0)
    gumbel, gaussian = (ratios[name] for name in ("Gumbel", "Gaussian"))
    two = special.ndtr(1 / SQUARE_ROOT_OF_2) / special.ndtr(-1 / SQUARE_ROOT_OF_2)
    sigmas = (
        f"standard errors, {config.draws:,} draws; the bound is such that chance breaks one of {compared} comparisons "
        f"in {config.false_alarms:g} of all runs"
    )
    return (
        Claim(
            "Gumbel", "With Gumbel noise the largest of z + noise is option i as often as softmax says.", "<=", bound,
            "Gumbel, 1954; Yellott, 1977; derived: the integral above is softmax", float(np.max(np.abs(deviations))),
            f"largest deviation of {len(deviations)} shares, {sigmas}",
        ),
        Claim(
            "Gumbel odds", "With Gumbel noise a third option leaves the odds of the other two as they are.", "<=", 1e-9,
            "Luce, 1959: p_1 / p_2 = exp(z_1 - z_2)",
            float(np.max(np.abs(np.array([*gumbel["quadrature"], gumbel["without"]]) / np.e - 1))),
            f"by quadrature, z = (1, 0) and (1, 0, z_3), z_3 {config.third[0]:g} to {config.third[-1]:g}: largest "
            "relative distance of p_1 / p_2 from e; quadrature is told 1e-13", exact=True,
        ),
        Claim(
            "Gaussian odds without", "With Gaussian noise and no third option the odds are those of two normals.",
            "=", float(two), "derived: F(1 / sqrt 2) / F(-1 / sqrt 2), F the normal distribution",
            gaussian["without"], "p_1 / p_2 by quadrature, z = (1, 0); quadrature is told 1e-13", exact=True,
            tolerance=1e-9,
        ),
        Claim(
            "Gaussian odds with", "With Gaussian noise a third option changes the odds of the other two.", ">=",
            1.01 * float(two), "Yellott, 1977: of all noises only Gumbel's keeps them",
            gaussian["quadrature"][equal], "p_1 / p_2 by quadrature, z = (1, 0, 0): above what it is without the third "
            "by 1 % or more, where quadrature errs by 1e-9", exact=True,
        ),
        Claim(
            "draws", "Draws give the odds that quadrature gives, for both noises.", "<=", bound,
            "the variance of the logarithm of p_1 / p_2 is (1 / P_1 + 1 / P_2) / draws", off,
            f"largest deviation of {2 * len(config.third)} ratios, {sigmas}",
        ),
        Claim(
            "entropy", "Of all distributions with a given mean, exp(beta z) / Z has the highest entropy.", "<=", 1e-10,
            "Jaynes, 1957", max(distances),
            f"largest distance of a probability, {config.problems} problems of {config.options} random values and a "
            "random mean; Newton's method on p; rounding, times the condition of beta", exact=True,
        ),
    )  # fmt: skip


def picture(data: dict[str, Any]) -> Figure:
    """The odds of the first option against the second, over the value of the third."""
    figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    third = np.array(data["third"])
    for (name, row), color, marker in zip(data["ratios"].items(), ("tab:blue", "tab:orange"), "os", strict=True):
        axes.axhline(row["without"], color=color, ls=":", lw=1)
        axes.plot(third, row["quadrature"], color=color, lw=1.5, label=f"{name} noise, by quadrature")
        axes.errorbar(
            third, row["drawn"], 2 * np.array(row["sigma"]), fmt=marker, ms=4, color=color, label=f"{name} noise, drawn"
        )
    axes.set(xlabel="value z₃ of the third option (z₁ = 1, z₂ = 0)", ylabel="odds p₁ / p₂")
    axes.set_title("Odds of two options as a third one gets better (dotted: without it)", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8.5, loc="upper left")
    return figure
