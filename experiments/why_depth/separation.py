r"""The same function by depth and by width: how many units each needs, by networks written down exactly.

x^2 on [0, 1]: the deep network of Yarotsky (2017) has m layers of 3 units, and each quarters the error. One hidden
layer needs ceil(1 / sqrt(8 eps) - 1/2) units for an error eps (derived in the measurement of one layer). The sawtooth
of Telgarsky (2015): k layers of 2 units fold [0, 1] into 2^k pieces; n units of one layer have at most n + 1 pieces, so
2^k - 1 of them are needed, and one more where the first piece is not flat.

All weights are dyadic, so `mlp_jax.forward` in float64 makes no rounding error. Between two knots the error of f_m is a
parabola, so its maxima lie on the grid j / 2^16. Pieces are counted between neighbours of different slope, on the grid
j / 2^(k + 1), on which every piece has a point inside.
"""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments.protocol import Claim, Finding, Progress
from experiments.why_depth.exact_nets import deep_square, hidden_units, sawtooth_net
from mlp_jax import Params

FORMULA = (
    r"f_m(x) = x - \sum_{s=1}^{m} \frac{g^{(s)}(x)}{4^s}, \quad g(x) = 2\,\mathrm{relu}(x) - "
    r"4\,\mathrm{relu}(x - \tfrac{1}{2}), \quad \max_{[0,1]} |f_m - x^2| = 2^{-2(m+1)}"
)
CAPTION = (
    "Units that x^2 needs. A hundredth of the error costs the deep network ten more units, one layer ten times as many."
)


@dataclass(frozen=True)
class Config:
    """The depth is varied."""

    layers: tuple[int, ...] = tuple(range(1, 13))  # of the network for x^2
    folds: int = 20  # the most layers of the sawtooth
    grid: int = 2**16  # steps of [0, 1]; more than 2 max(layers) binary digits would round x^2


FULL = Config()
QUICK = Config(folds=12)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Evaluate both networks of every depth exactly, and count units and pieces."""
    del key  # nothing is random
    x = np.arange(config.grid + 1) / config.grid
    errors, deep, shallow = [], [], []
    for m in config.layers:
        params = deep_square(m)
        errors.append(float(np.max(np.abs(value(params, x) - x**2))))
        deep.append(hidden_units(params))
        shallow.append(shallow_units(4.0 ** -(m + 1)))
    folds = range(1, config.folds + 1)
    pieces = []
    for k in folds:
        progress(k / config.folds)
        pieces.append(count_pieces(sawtooth_net(k * (2,)), k))
    fewer = 2 * config.folds / (2**config.folds - 1)
    claims = (
        Claim(
            "units for squares",
            "The deep network for x^2 has an error of exactly 2^-2(m + 1) with 3 m units, at every depth m.",
            "=",
            0,
            "Yarotsky (2017), Proposition 2; the constant derived: chords of x^2 over steps of 2^-m",
            float(sum(error != 4.0 ** -(m + 1) for m, error in zip(config.layers, errors, strict=True)))
            + float(sum(units != 3 * m for m, units in zip(config.layers, deep, strict=True))),
            f"how many of m = 1 ... {config.layers[-1]} miss it, be it by one bit; float64, dyadic weights",
            exact=True,
        ),
        Claim(
            "crossover",
            "The deep network is smaller from 15 units on, at an error of 2^-12; above that error one layer is.",
            "=",
            15,
            "derived: 3 m < ceil(2^(m - 1/2) - 1/2) first at m = 5, with 15 units against 23",
            float(next((d for d, s in zip(deep, shallow, strict=True) if d < s), np.inf)),
            "the fewest units with which the deep network beats the best shallow one, both at the error 4^-(m + 1)",
            exact=True,
        ),
        Claim(
            "shallow over deep",
            f"At an error of {4.0 ** -(config.layers[-1] + 1):.1e} one hidden layer needs 80 times as many units.",
            "=",
            80,
            "derived: ceil(2^(m - 1/2) - 1/2) / (3 m) = 2896 / 36 at m = 12",
            shallow[-1] / deep[-1],
            "units counted in the networks; a whole number of units, so rounded",
            tolerance=0.5,
            exact=True,
        ),
        Claim(
            "pieces",
            "The sawtooth network of k layers with 2 units each has exactly 2^k pieces.",
            "=",
            0,
            "Telgarsky (2015)",
            float(sum(count != 2**k for k, count in zip(folds, pieces, strict=True))),
            f"how many of k = 1 ... {config.folds} miss it; counted exactly, up to {pieces[-1]:,} pieces",
            exact=True,
        ),
        Claim(
            "units for a sawtooth",
            f"For {2**config.folds:,} pieces one hidden layer needs {1 / fewer:,.0f} times as many units.",
            "=",
            1 / fewer,
            "derived: a knot costs one layer a unit, so (2^k - 1) / (2 k)",
            (pieces[-1] - 1) / hidden_units(sawtooth_net(config.folds * (2,))),
            "knots counted in the deep network, over its units",
            exact=True,
        ),
    )
    data = {"layers": list(config.layers), "errors": errors, "deep": deep, "shallow": shallow, "pieces": pieces}
    return Finding(claims, data)


def value(params: Params, x: np.ndarray) -> np.ndarray:
    """The network's function of one number, in float64."""
    with jax.enable_x64(True):
        return np.asarray(mlp_jax.forward(params, x[:, None]))[:, 0]


def shallow_units(error: float) -> int:
    """The fewest ReLUs of one hidden layer for x^2 on [0, 1] up to an error."""
    return ceil(1 / sqrt(8 * error) - 1 / 2)


def count_pieces(params: Params, k: int) -> int:
    """The linear pieces on [0, 1] of a function whose knots lie among j / 2^k: between them it is linear."""
    y = value(params, np.arange(2 ** (k + 1) + 1) / 2 ** (k + 1))
    slopes = np.diff(y)
    return 1 + int(np.count_nonzero(np.diff(slopes)))


def picture(data: dict[str, Any]) -> Figure:
    """Units against error, deep and shallow."""
    figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    error = np.logspace(np.log10(data["errors"][0]), np.log10(data["errors"][-1]), 100)
    axes.plot(error, 1 / np.sqrt(8 * error) - 1 / 2, color="tab:orange", lw=1)
    axes.plot(data["errors"], data["shallow"], "s", ms=5, color="tab:orange", label="one hidden layer, the best")
    axes.plot(error, 3 * (-np.log2(error) / 2 - 1), color="tab:blue", lw=1)
    axes.plot(data["errors"], data["deep"], "o", ms=5, color="tab:blue", label="m layers of 3 units (Yarotsky)")
    for name, color in (("shallow", "tab:orange"), ("deep", "tab:blue")):
        axes.annotate(
            f"{data[name][-1]:,}", (data["errors"][-1], data[name][-1]), xytext=(0, 6), textcoords="offset points",
            ha="center", fontsize=9, color=color,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel=r"largest error of $x^2$ on [0, 1]", ylabel="hidden units")
    axes.set_ylim(0.7, 8000)
    axes.invert_xaxis()
    axes.set_title("Units that an accuracy costs")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="upper left")
    return figure
