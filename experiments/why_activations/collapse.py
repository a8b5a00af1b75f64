"""A network without activations is one matrix, and what one matrix cannot do.

Networks of identity activations are compared with the product of their weights, on random inputs in float64; beside
them, how much of the output of the same networks with other activations no affine map explains. Then the smallest
problem that one matrix cannot solve: the parity of d bits, which for d = 2 is exclusive or. Its best linear squared
error comes from least squares, its best cross-entropy from Newton's method from a random start, and its best accuracy
from counting: over thresholds of the number of ones for every d, and over all linear threshold functions for small d.
"""

from dataclasses import dataclass
from itertools import product
from math import comb, log
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.protocol import Claim, Finding, Progress
from mlp_jax import Layer, Params, squared_error
from mlp_jax.activations import ACTIVATIONS

FORMULA = r"h_L = (\cdots ((x W_1 + b_1) W_2 + b_2) \cdots) W_L + b_L = x W + b, \qquad W = W_1 W_2 \cdots W_L"
CAPTION = (
    "How much of a network's output no single matrix explains. Without activations nothing but rounding, at any depth."
)
COLORS = {"identity": "#000000", "sigmoid": "#0072b2", "tanh": "#009e73", "relu": "#d55e00"}
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
QUICK = Config(seeds=2, enumerated=(2, 3, 4))


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Multiply weights, and solve parity as well as one matrix can."""
    rng = np.random.default_rng(int(jax.random.randint(key, (), 0, 2**31 - 1)))
    with jax.enable_x64(True):
        unexplained, rounding = _depths(config, rng)
        xor = _error_of_two_relus()
        parity_of = jax.jit(tasks.parity, static_argnums=0)
        tables = {d: tuple(map(np.asarray, parity_of(d))) for d in config.bits}
    progress(0.5)
    errors = [least_squares_error(x, y) for x, y in tables.values()]
    entropies = [least_cross_entropy(x, y, rng.normal(size=x.shape[1] + 1)) for x, y in tables.values()]
    reached = {d: best_count_threshold(x, y) for d, (x, y) in tables.items()}
    formula = {d: best_linear_accuracy(d) for d in config.bits}
    enumerated = {d: best_threshold_function(tables[d][0], tables[d][1], LARGEST_WEIGHT[d]) for d in config.enumerated}
    parity = f"parity of d = {config.bits[0]} to {config.bits[-1]} bits, all 2^d inputs"
    claims = (
        Claim(
            "one matrix",
            "Without activations a network of any depth is one matrix, the product of its weights, and one bias.",
            "<=",
            1e-13,
            "rounding: unit roundoff 1.1e-16, times 30 layers of 32 products",
            rounding,
            f"relative L2 difference of the outputs, float64, the worst of depths 1 to {config.depths[-1]} and seeds",
            seeds=config.seeds,
            exact=True,
        ),
        Claim(
            "linear squared error",
            "One matrix does no better on parity than the constant 1/2, whose squared error is 1/4.",
            "=",
            0.25,
            "derived: parity is uncorrelated with every single bit",
            _furthest(errors, 0.25),
            f"least squares, targets 0 and 1; {parity}; the one furthest from 1/4",
            tolerance=1e-12,
            exact=True,
        ),
        Claim(
            "linear cross entropy",
            "Its cross-entropy on parity is that of a coin, ln 2.",
            "=",
            log(2),
            "derived: the loss is convex and its gradient at 0 is 0",
            _furthest(entropies, log(2)),
            f"Newton's method from a random start; {parity}; the one furthest from ln 2",
            tolerance=1e-12,
            exact=True,
        ),
        Claim(
            "XOR linear accuracy",
            "On exclusive or it is right in three of the four cases at best.",
            "=",
            0.75,
            "Minsky & Papert (1969): no line separates it",
            enumerated[2][0],
            f"the best of all {enumerated[2][1]} linear threshold functions of 2 bits",
            exact=True,
        ),
        Claim(
            "parity linear accuracy",
            "On parity it is right in a share 1/2 + C(d-1, floor((d-1)/2)) / 2^d of all cases at best.",
            "=",
            0,
            "derived: along a symmetric chain of subsets a threshold switches once, parity at every step",
            max(abs(enumerated[d][0] - formula[d]) for d in config.enumerated),
            f"the best of all linear threshold functions less the formula, the worst of d in {config.enumerated}",
            exact=True,
        ),
        Claim(
            "all threshold functions",
            "All linear threshold functions were tried.",
            "=",
            0,
            f"how many there are: {THRESHOLD_FUNCTIONS} (Muroga, 1971)",
            max(abs(enumerated[d][1] - THRESHOLD_FUNCTIONS[d]) for d in config.enumerated),
            f"those found less those that there are, d in {config.enumerated}",
            exact=True,
        ),
        Claim(
            "parity accuracy reached",
            "A threshold on the number of ones reaches that share.",
            "=",
            0,
            "derived: alternating sums of binomials telescope",
            max(abs(reached[d] - formula[d]) for d in config.bits),
            f"the best threshold less the formula, the worst of d = {config.bits[0]} to {config.bits[-1]}",
            exact=True,
        ),
        Claim(
            "XOR by two ReLUs",
            "One hidden layer of two ReLUs solves exclusive or.",
            "=",
            0,
            "derived: relu(x_1 + x_2) - 2 relu(x_1 + x_2 - 1)",
            xor,
            "squared error of the network with these weights",
            exact=True,
        ),
    )
    data = {"depths": list(config.depths), "unexplained": unexplained, "parity": {"best": formula, "reached": reached}}
    return Finding(claims, data)


def _depths(config: Config, rng: np.random.Generator) -> tuple[dict[str, list[list[float]]], float]:
    """What no affine map explains, by activation and depth, seeds within; and the worst rounding.

    The pre-activations z_l of the deepest network are the outputs of its first l layers.
    """
    x = rng.normal(size=(config.examples, config.width))
    Q = np.linalg.qr(with_ones(x))[0]
    unexplained: dict[str, list[list[float]]] = {name: [] for name in COLORS}
    rounding = 0.0
    for name, rows in unexplained.items():
        gain = 2 if name == "relu" else 1
        for _ in range(config.seeds):
            shape = (max(config.depths), config.width, config.width)
            weights = rng.normal(0, np.sqrt(gain / config.width), shape)
            params = tuple(map(Layer, jnp.asarray(weights), jnp.asarray(rng.normal(0, 0.1, shape[:2]))))
            z = [np.asarray(z) for z in mlp_jax.forward_with_trace(params, x, ACTIVATIONS[name])[1].z]
            rows.append([share_unexplained(Q, z[depth - 1]) for depth in config.depths])
            if name == "identity":
                for depth in config.depths:
                    weight, bias = collapsed(params[:depth])
                    error = np.linalg.norm(x @ weight + bias - z[depth - 1]) / np.linalg.norm(z[depth - 1])
                    rounding = max(rounding, float(error))
    return unexplained, rounding


def collapsed(params: Params) -> tuple[np.ndarray, np.ndarray]:
    """The one weight and bias of a network without activations."""
    weight, bias = map(np.asarray, params[0])
    for layer in params[1:]:
        weight, bias = weight @ np.asarray(layer.weight), bias @ np.asarray(layer.weight) + np.asarray(layer.bias)
    return weight, bias


def share_unexplained(Q: np.ndarray, h: np.ndarray) -> float:
    """|h - best affine map of x| / |h - mean h|, with Q an orthonormal basis of x and 1."""
    return float(np.linalg.norm(h - Q @ (Q.T @ h)) / np.linalg.norm(h - h.mean(axis=0)))


def least_squares_error(x: np.ndarray, y: np.ndarray) -> float:
    """The least mean squared error of an affine map."""
    X = with_ones(x)
    w = np.linalg.lstsq(X, y.astype(float))[0]
    return float(np.mean((X @ w - y) ** 2))


def least_cross_entropy(x: np.ndarray, y: np.ndarray, w: np.ndarray, steps: int = 50) -> float:
    """The least mean cross-entropy of logistic regression, by Newton's method with halved steps from w."""
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
    """1/2 + C(d - 1, floor((d - 1) / 2)) / 2^d."""
    return 1 / 2 + comb(d - 1, (d - 1) // 2) / 2**d


def best_count_threshold(x: np.ndarray, y: np.ndarray) -> float:
    """The best accuracy of "at least k ones" and of its opposite."""
    ones = x.sum(axis=1)
    right = [np.mean((ones >= k) == y) for k in range(x.shape[1] + 2)]
    return float(max(*right, 1 - min(right)))


def best_threshold_function(x: np.ndarray, y: np.ndarray, largest: int) -> tuple[float, int]:
    """The best accuracy of all sign(w x - t) with integer weights up to the largest, and how many there are."""
    found: set[int] = set()
    best, codes = 0, 1 << np.arange(len(y))
    for first in range(-largest, largest + 1):
        rest = np.array(list(product(range(-largest, largest + 1), repeat=x.shape[1] - 1)))
        sums = first * x[:, 0].astype(int) + rest @ x[:, 1:].astype(int).T  # (functions, inputs)
        for t in range(sums.min(), sums.max() + 2):
            on = sums >= t
            best = max(best, int(np.max(np.sum(on == y, axis=1))))
            found.update(np.unique(on @ codes).tolist())
    return best / len(y), len(found)


def with_ones(x: np.ndarray) -> np.ndarray:
    """X with a column of ones, for the bias."""
    return np.column_stack([x, np.ones(len(x))])


def _error_of_two_relus() -> float:
    x, y = tasks.parity(2)
    params = (
        Layer(jnp.array([[1.0, 1.0], [1.0, 1.0]]), jnp.array([0.0, -1.0])),
        Layer(jnp.array([[1.0], [-2.0]]), jnp.array([0.0])),
    )
    return float(squared_error(mlp_jax.forward(params, x), y[:, None].astype(float)))


def _furthest(values: list[float], expected: float) -> float:
    return max(values, key=lambda value: abs(value - expected))


def picture(data: dict[str, Any]) -> Figure:
    """What no matrix explains, over depth."""
    figure, axes = plt.subplots(figsize=(6.5, 4.0), layout="constrained")
    depths = np.array(data["depths"])
    for name, rows in data["unexplained"].items():
        shown = depths <= (depths.max() if name != "sigmoid" else SIGMOID_DEPTH)
        label = "no activation" if name == "identity" else {"relu": "ReLU"}.get(name, name)
        median = np.median(np.array(rows), axis=0)
        axes.plot(depths[shown], median[shown], "o-", ms=4, color=COLORS[name], label=label)
    axes.axhline(2**-53, color="grey", ls=":", lw=1)
    axes.annotate("unit roundoff of float64", (0.99, 2**-53), xycoords=("axes fraction", "data"), ha="right",
                  va="bottom", fontsize=8, color="grey")  # fmt: skip
    axes.set(yscale="log", xlabel="weight layers", ylabel="share of the output's size", ylim=(2e-17, 3))
    axes.set_title("What is left of a network after the best single matrix")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="center right")
    return figure
