"""A network without activations is one matrix, and what one matrix cannot do.

Networks of identity activations are compared with the product of their weights, on random inputs in float64. The
picture shows how much of the output of such networks, with and without activations, no affine map explains. Then comes
the smallest problem that one matrix cannot solve: the parity of d bits, which for d = 2 is exclusive or. Its best
linear squared error comes from least squares, and its best cross-entropy from Newton's method from a random start. Its
best accuracy comes from counting: over thresholds of the number of ones for every d, and over all linear threshold
functions for small d.
"""

from dataclasses import dataclass
from functools import partial
from itertools import product
from math import comb, log
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.frame.claims import at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, largest
from experiments.why_activations.shared import COLORS, LABELS, furthest
from mlp_jax import Layer, Params, squared_error
from mlp_jax.activations import ACTIVATIONS

FORMULA = r"h_L = (\cdots ((x W_1 + b_1) W_2 + b_2) \cdots) W_L + b_L = x W + b, \qquad W = W_1 W_2 \cdots W_L"
NAMES = ("identity", "sigmoid", "tanh", "relu")
SIGMOID_DEPTH = 15  # beyond it the outputs of these sigmoid networks vary by little more than rounding
LARGEST_WEIGHT = {2: 1, 3: 2, 4: 3, 5: 5}  # integers up to it give every linear threshold function (Muroga, 1971)
THRESHOLD_FUNCTIONS = {2: 14, 3: 104, 4: 1882, 5: 94572}  # how many there are (Muroga, 1971)


@dataclass(frozen=True)
class Config:
    """The depth and the activation are varied, and the number of bits."""

    depths: tuple[int, ...] = (1, 2, 3, 5, 8, 12, 18, 24, 30)  # weight layers
    width: int = 32
    examples: int = 1000
    seeds: int = 20
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    enumerated: tuple[int, ...] = (2, 3, 4, 5)  # bits for which all linear threshold functions are tried


FULL = Config()
QUICK = Config(depths=(1, 2, 3, 5, 8), examples=200, seeds=2, enumerated=(2, 3, 4))


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Multiply weights, and solve parity as well as one matrix can.

    Returns:
      What no affine map explains, "unexplained" (activations, seeds, depths), and the "rounding" of the product of
      weights (seeds, depths). Of parity, by bits: "squared error", "cross-entropy" and the accuracy "reached" by
      counting ones. By enumerated bits: the accuracy of the "best" threshold function, and how many "functions" exist.
      The squared error of "two ReLUs" on exclusive or.
    """
    rng = tasks.generator(key)
    with jax.enable_x64(True):
        unexplained, rounding = _depths(config, rng)
        two_relus = np.asarray(_error_of_two_relus())
    progress(0.5)
    parity = [tasks.parity(d) for d in config.bits]
    entropies = [least_cross_entropy(x, y, rng.normal(size=x.shape[1] + 1)) for x, y in parity]
    functions = [best_threshold_function(*tasks.parity(d), LARGEST_WEIGHT[d]) for d in config.enumerated]
    return {
        "depth": np.array(config.depths),
        "unexplained": unexplained,
        "rounding": rounding,
        "bits": np.array(config.bits),
        "squared error": np.array([least_squares_error(x, y) for x, y in parity]),
        "cross-entropy": np.array(entropies),
        "reached": np.array([best_count_threshold(x, y) for x, y in parity]),
        "enumerated": np.array(config.enumerated),
        "best": np.array([best for best, _ in functions]),
        "functions": np.array([count for _, count in functions]),
        "two ReLUs": two_relus,
    }


def _depths(config: Config, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return what no affine map explains (activations, seeds, depths), and the rounding (seeds, depths).

    The pre-activations z_l of the deepest network are the outputs of its first l layers.
    """
    x = rng.normal(size=(config.examples, config.width))
    Q = np.linalg.qr(with_ones(x))[0]
    drawn = [[_network(config, rng, 2 if name == "relu" else 1) for _ in range(config.seeds)] for name in NAMES]
    unexplained, rounding = [], []
    for networks in zip(*drawn, strict=True):
        z = [np.stack(by_depth) for by_depth in _outputs(config.depths, networks, x)]
        unexplained.append([[share_unexplained(Q, h) for h in by_depth] for by_depth in z])
        matrices = [collapsed(networks[0][:depth]) for depth in config.depths]
        error = np.stack([x @ W + b for W, b in matrices]) - z[0]
        rounding.append(np.linalg.norm(error, axis=(1, 2)) / np.linalg.norm(z[0], axis=(1, 2)))
    return np.swapaxes(unexplained, 0, 1), np.array(rounding)


def _network(config: Config, rng: np.random.Generator, gain: float) -> Params:
    shape = (max(config.depths), config.width, config.width)
    weights = rng.normal(0, np.sqrt(gain / config.width), shape)
    return tuple(map(Layer, weights, rng.normal(0, 0.1, shape[:2])))


@partial(jax.jit, static_argnums=0)
def _outputs(depths: tuple[int, ...], networks: tuple[Params, ...], x: Any) -> list[list[jax.Array]]:
    """Return the outputs of the first layers of a network of each activation, by depth."""
    phis = [ACTIVATIONS[name] for name in NAMES]
    z = [mlp_jax.forward_with_trace(params, x, phi)[1].z for params, phi in zip(networks, phis, strict=True)]
    return [[by_layer[depth - 1] for depth in depths] for by_layer in z]


@jax.jit
def _error_of_two_relus() -> jax.Array:
    """Return the squared error of relu(x_1 + x_2) - 2 relu(x_1 + x_2 - 1) on exclusive or."""
    params = (Layer(jnp.ones((2, 2)), jnp.array([0.0, -1.0])), Layer(jnp.array([[1.0], [-2.0]]), jnp.zeros(1)))
    x, y = tasks.parity(2)
    return squared_error(mlp_jax.forward(params, x), y[:, None].astype(float))


PARITY = "parity of d bits, all 2^d inputs, d in {n.config.bits}"
exactly = partial(equals, within=0, must=True)


@at_most(
    1e-13,
    "Without activations a network of any depth is one matrix, the product of its weights, and one bias.",
    source="rounding: unit roundoff 1.1e-16, times 30 layers of 32 products",
    how="relative L2 difference of the outputs, float64, depths in {n.config.depths}",
    must=True,
)
def one_matrix(n: Numbers) -> Statistic:
    return largest(n["rounding"].max(axis=1))


@exactly(
    0.25,
    "One matrix does no better on parity than the constant 1/2, whose squared error is 1/4.",
    within=1e-12,
    source="derived: parity is uncorrelated with every single bit",
    how="least squares, targets 0 and 1; the one furthest from 1/4; " + PARITY,
)
def linear_squared_error(n: Numbers) -> float:
    return furthest(n["squared error"], 0.25)


@exactly(
    log(2),
    "Its cross-entropy on parity is that of a coin, ln 2.",
    within=1e-12,
    source="derived: the loss is convex and its gradient at 0 is 0",
    how="Newton's method from a random start; the one furthest from ln 2; " + PARITY,
)
def linear_cross_entropy(n: Numbers) -> float:
    return furthest(n["cross-entropy"], log(2))


@exactly(
    0.75,
    "On exclusive or it is right in three of the four cases at best.",
    source="Minsky & Papert (1969): no line separates it",
    how="the best of all linear threshold functions of 2 bits",
)
def XOR_linear_accuracy(n: Numbers) -> float:
    return float(n["best"][n.at(enumerated=2)])


@exactly(
    0,
    "On parity it is right in a share 1/2 + C(d-1, floor((d-1)/2)) / 2^d of all cases at best.",
    source="derived: along a symmetric chain of subsets a threshold switches once, parity at every step",
    how="the best of all linear threshold functions less the formula, d in {n.config.enumerated}",
)
def parity_linear_accuracy(n: Numbers) -> Statistic:
    return largest(np.abs(n["best"] - [best_linear_accuracy(d) for d in n["enumerated"]]))


@exactly(
    0,
    "All linear threshold functions were tried.",
    source=f"how many there are: {', '.join(map(str, THRESHOLD_FUNCTIONS.values()))} of 2 to 5 bits (Muroga, 1971)",
    how="those found less those that there are, d in {n.config.enumerated}",
)
def all_threshold_functions(n: Numbers) -> Statistic:
    return largest(np.abs(n["functions"] - [THRESHOLD_FUNCTIONS[d] for d in n["enumerated"]]))


@exactly(
    0,
    "A threshold on the number of ones reaches that share.",
    source="derived: alternating sums of binomials telescope",
    how="the best threshold less the formula; " + PARITY,
)
def parity_accuracy_reached(n: Numbers) -> Statistic:
    return largest(np.abs(n["reached"] - [best_linear_accuracy(d) for d in n["bits"]]))


@exactly(
    0,
    "One hidden layer of two ReLUs solves exclusive or.",
    source="derived: relu(x_1 + x_2) - 2 relu(x_1 + x_2 - 1)",
    how="squared error of the network with these weights",
)
def XOR_by_two_ReLUs(n: Numbers) -> float:
    return float(n["two ReLUs"])


def picture(n: Numbers) -> Figure:
    """Draw what no matrix explains, over depth."""
    figure, axes = panels()
    depths = n["depth"]
    for name, rows in zip(NAMES, n["unexplained"], strict=True):
        shown = depths <= (SIGMOID_DEPTH if name == "sigmoid" else depths.max())
        axes.plot(depths[shown], np.median(rows, axis=0)[shown], "o-", ms=4, color=COLORS[name], label=LABELS[name])
    axes.axhline(2**-53, color="grey", ls=":", lw=1)
    axes.annotate("unit roundoff of float64", (0.99, 2**-53), xycoords=("axes fraction", "data"), ha="right",
                  va="bottom", fontsize=8, color="grey")  # fmt: skip
    axes.set(yscale="log", xlabel="weight layers", ylabel="share of the output's size", ylim=(2e-17, 3))
    axes.set_title("What is left of a network after the best single matrix")
    axes.legend(loc="center right")
    return figure


def collapsed(params: Params) -> tuple[Any, Any]:
    """Return the one weight and bias of a network without activations."""
    weight, bias = params[0]
    for layer in params[1:]:
        weight, bias = weight @ layer.weight, bias @ layer.weight + layer.bias
    return weight, bias


def share_unexplained(Q: np.ndarray, h: np.ndarray) -> float:
    """Return |h - best affine map of x| / |h - mean h|, with Q an orthonormal basis of x and 1."""
    return float(np.linalg.norm(h - Q @ (Q.T @ h)) / np.linalg.norm(h - h.mean(axis=0)))


def least_squares_error(x: np.ndarray, y: np.ndarray) -> float:
    """Return the least mean squared error of an affine map."""
    X = with_ones(x)
    w = np.linalg.lstsq(X, y.astype(float))[0]
    return float(np.mean((X @ w - y) ** 2))


def least_cross_entropy(x: np.ndarray, y: np.ndarray, w: np.ndarray, steps: int = 50) -> float:
    """Return the least mean cross-entropy of logistic regression, by Newton's method with halved steps from w."""
    X, s = with_ones(x), 2 * y - 1.0

    def loss(w: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0, -s * (X @ w))))

    for _ in range(steps):
        p = 1 / (1 + np.exp(-X @ w))
        step = np.linalg.solve((X * (p * (1 - p))[:, None]).T @ X, X.T @ (p - y))
        while loss(w - step) > loss(w) and np.linalg.norm(step) > 1e-12:
            step = step / 2
        w = w - step
    return loss(w)


def best_linear_accuracy(d: int) -> float:
    """Return 1/2 + C(d - 1, floor((d - 1) / 2)) / 2^d."""
    return 1 / 2 + comb(d - 1, (d - 1) // 2) / 2**d


def best_count_threshold(x: np.ndarray, y: np.ndarray) -> float:
    """Return the best accuracy of "at least k ones" and of its opposite."""
    ones = x.sum(axis=1)
    right = [np.mean((ones >= k) == y) for k in range(x.shape[1] + 2)]
    return float(max(*right, 1 - min(right)))


def best_threshold_function(x: np.ndarray, y: np.ndarray, limit: int) -> tuple[float, int]:
    """Return the best accuracy of all sign(w x - t) with integer weights up to the limit, and how many there are."""
    found: set[int] = set()
    best, codes = 0, 1 << np.arange(len(y))
    for first in range(-limit, limit + 1):
        rest = np.array(list(product(range(-limit, limit + 1), repeat=x.shape[1] - 1)))
        sums = first * x[:, 0].astype(int) + rest @ x[:, 1:].astype(int).T  # (functions, inputs)
        for t in range(sums.min(), sums.max() + 2):
            on = sums >= t
            best = max(best, int(np.max(np.sum(on == y, axis=1))))
            found.update(np.unique(on @ codes).tolist())
    return best / len(y), len(found)


def with_ones(x: np.ndarray) -> np.ndarray:
    """Return x with a column of ones, for the bias."""
    return np.column_stack([x, np.ones(len(x))])
