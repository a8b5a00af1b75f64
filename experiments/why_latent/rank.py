"""Singular values of the log-probabilities of random networks.

Random 16-32-d-C tanh networks, weights normal with variance 1/fan_in and biases standard normal, C = 50 classes,
N = 200 random inputs; d is varied. The N x C matrix of log p is H W + 1 b^T - c 1^T, with c the log of softmax's
denominator: rank d, one more for the output bias, one more for c. Its singular values, in float64, say whether the
bound holds and whether it is reached. Taylor softmax, whose probabilities are no exponentials, does not obey it (after
Yang et al., 2018).
"""

from dataclasses import dataclass
from itertools import pairwise

import jax
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_least, at_most
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, largest, smallest
from experiments.tasks import generator

FORMULA = r"\log p = H W + \mathbf{1} b^\top - c\,\mathbf{1}^\top, \qquad \mathrm{rank}\,(\log p) \le d + 2"
ROUNDING = 1e-12  # unit roundoff is 1.1e-16, and the matrix has 200 x 50 entries
FAR_ABOVE = 1e-6  # a million times that


@dataclass(frozen=True)
class Config:
    """The width of the last hidden layer is varied, the rest is held fixed."""

    widths: tuple[int, ...] = (2, 8, 32)
    classes: int = 50
    examples: int = 200
    networks: int = 5  # of each width


FULL = Config()
QUICK = Config(networks=2)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Take the singular values, over the largest, of the log-probabilities of random networks (widths, networks, C)."""
    rng = generator(key)
    z = [[logits(config, rng, d) for _ in range(config.networks)] for d in config.widths]
    with_bias, without = (np.array([[pair[i] for pair in row] for row in z]) for i in (0, 1))
    return {
        "widths": np.array(config.widths),
        "softmax": spectrum(log_softmax(with_bias)),
        "softmax without bias": spectrum(log_softmax(without)),
        "Taylor softmax": spectrum(log_taylor_softmax(with_bias)),
    }


def beyond(n: Numbers, name: str, extra: int) -> np.ndarray:
    """Return the singular value number d + extra of every network (widths, networks)."""
    return np.stack([n[name][i, :, d + extra - 1] for i, d in enumerate(n["widths"])])


HOW = "float64, d in {n.config.widths}, {n.config.examples} inputs, {n.config.classes} classes"


@at_most(
    ROUNDING,
    "The matrix of log-probabilities has rank d + 2 at most.",
    source="derived, after Yang et al., 2018: d, one for the output bias, one for the denominator",
    how="singular value d + 3 over the largest; 1e-12 is for rounding; " + HOW,
    must=True,
)
def rank(n: Numbers) -> Statistic:
    return largest(beyond(n, "softmax", 3))


@at_most(
    ROUNDING,
    "Without an output bias it has rank d + 1 at most.",
    source="derived: d, and one for the denominator",
    how="singular value d + 2 over the largest; 1e-12 is for rounding; " + HOW,
    must=True,
)
def rank_without_bias(n: Numbers) -> Statistic:
    return largest(beyond(n, "softmax without bias", 2))


@at_least(
    FAR_ABOVE,
    "The bound is reached: d + 2 singular values are far above rounding.",
    source="derived: H, 1 and c are linearly independent but by accident",
    how="singular value d + 2 over the largest; 1e-6 is a million times the bound for rounding; " + HOW,
    must=True,
)
def rank_is_reached(n: Numbers) -> Statistic:
    return smallest(beyond(n, "softmax", 2))


@at_least(
    FAR_ABOVE,
    "Taylor softmax, (1 + z + z^2/2) over its sum, breaks the bound.",
    source="derived: log (1 + z + z^2/2) is not linear in z",
    how="singular value d + 3 over the largest; " + HOW,
    must=True,
)
def taylor_softmax(n: Numbers) -> Statistic:
    return smallest(beyond(n, "Taylor softmax", 3))


def picture(n: Numbers) -> Figure:
    """Draw the singular values of the log-probabilities of the first network, a panel for each width."""
    figure, axes = panels(1, len(n["widths"]), figsize=(7.5, 3.4), sharey=True)
    for i, (panel, d) in enumerate(zip(axes, n["widths"], strict=True)):
        for name, style in {"Taylor softmax": "C1o", "softmax": "C0s"}.items():
            values = np.maximum(n[name][i, 0], 1e-18)
            panel.plot(np.arange(1, len(values) + 1), values, style, ms=3, label=name)
        panel.axvline(d + 2.5, color="black", ls=":", lw=1.2)
        panel.set(yscale="log", xlabel="number of the singular value", title=f"last layer d = {d}")
    axes[0].set_ylabel("singular value of log p, relative")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def logits(config: Config, rng: np.random.Generator, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (N, C) of a random network whose last hidden layer has d units, with and without output bias."""
    sizes = (16, 32, d, config.classes)
    drawn = [(rng.standard_normal((n, m)) / np.sqrt(n), rng.standard_normal(m)) for n, m in pairwise(sizes)]
    h = rng.standard_normal((config.examples, sizes[0]))
    for weight, bias in drawn[:-1]:
        h = np.tanh(h @ weight + bias)
    z = h @ drawn[-1][0]
    return z + drawn[-1][1], z


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Return log p of every row, by the library."""
    with jax.enable_x64(True):
        return np.asarray(mlp_jax.log_softmax(z))


def log_taylor_softmax(z: np.ndarray) -> np.ndarray:
    """Return the log of (1 + z + z^2/2) over its sum, of every row (de Brébisson & Vincent, 2016)."""
    f = 1 + z + z**2 / 2
    return np.log(f / f.sum(axis=-1, keepdims=True))


def spectrum(matrices: np.ndarray) -> np.ndarray:
    """Return the singular values over the largest, in falling order."""
    s = np.linalg.svd(matrices, compute_uv=False)
    return s / s[..., :1]
