r"""The same function by depth and by width: how many units each needs, by networks written down exactly.

x^2 on [0, 1]: the deep network of Yarotsky (2017) has m layers of 3 units, and each quarters the error. One hidden
layer needs ceil(1 / sqrt(8 eps) - 1/2) units for an error eps (derived in the measurement of one layer). The sawtooth
of Telgarsky (2015): k layers of 2 units fold [0, 1] into 2^k pieces; n units of one layer have at most n + 1 pieces, so
2^k - 1 of them are needed, and one more where the first piece is not flat.

All weights are dyadic, so evaluating them in float64 makes no rounding error. Between two knots the error of f_m is a
parabola, so its maxima lie on the grid j / 2^16. Pieces are counted between neighbours of different slope, on the grid
j / 2^(k + 1), on which every piece has a point inside.
"""

from dataclasses import dataclass
from math import ceil, sqrt

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments.frame.claims import equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, exact
from experiments.why_depth.exact_nets import deep_square, hidden_units, sawtooth_net, value
from mlp_jax import Params

FORMULA = (
    r"f_m(x) = x - \sum_{s=1}^{m} \frac{g^{(s)}(x)}{4^s}, \quad g(x) = 2\,\mathrm{relu}(x) - "
    r"4\,\mathrm{relu}(x - \tfrac{1}{2}), \quad \max_{[0,1]} |f_m - x^2| = 2^{-2(m+1)}"
)


@dataclass(frozen=True)
class Config:
    """The depth is varied."""

    layers: tuple[int, ...] = tuple(range(1, 13))  # of the network for x^2
    folds: int = 20  # the most layers of the sawtooth
    grid: int = 2**16  # steps of [0, 1]; more than 2 max(layers) binary digits would round x^2


FULL = Config()
QUICK = Config(folds=12)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Evaluate both networks of every depth exactly, and count units and pieces. Nothing is random."""
    x = np.arange(config.grid + 1) / config.grid
    squares = [deep_square(m) for m in config.layers]
    sawtooths = [sawtooth_net(k * (2,)) for k in range(1, config.folds + 1)]
    return {
        "layers": np.array(config.layers),
        "error": np.array([np.max(np.abs(value(params, x) - x**2)) for params in squares]),
        "deep": np.array([hidden_units(params) for params in squares]),
        "shallow": np.array([shallow_units(4.0 ** -(m + 1)) for m in config.layers]),
        "pieces": np.array([count_pieces(params, k) for k, params in enumerate(sawtooths, 1)]),
        "units of the sawtooth": np.array([hidden_units(params) for params in sawtooths]),
    }


@equals(
    0,
    "The deep network for x^2 has an error of exactly 2^-2(m + 1) with 3 m units, at every depth m.",
    within=0,
    source="Yarotsky (2017), Proposition 2; the constant derived: chords of x^2 over steps of 2^-m",
    how="how many of m = {n.config.layers} miss it, be it by one bit; float64, dyadic weights",
    must=True,
)
def units_for_squares(n: Numbers) -> Statistic:
    m = n["layers"]
    return exact(np.sum(n["error"] != 4.0 ** -(m + 1.0)) + np.sum(n["deep"] != 3 * m))


@equals(
    15,
    "The deep network is smaller from 15 units on, at an error of 2^-12; above that error one layer is.",
    within=0,
    source="derived: 3 m < ceil(2^(m - 1/2) - 1/2) first at m = 5, with 15 units against 23",
    how="the fewest units with which the deep network beats the best shallow one, both at the error 4^-(m + 1)",
    must=True,
)
def crossover(n: Numbers) -> Statistic:
    return exact(np.min(n["deep"], where=n["deep"] < n["shallow"], initial=np.iinfo(int).max))


@equals(
    80,
    "At an error of 1.5e-08 one hidden layer needs 80 times as many units.",
    within=0.5,
    source="derived: ceil(2^(m - 1/2) - 1/2) / (3 m) = 2896 / 36 at m = 12",
    how="units counted in the networks; a whole number of units, so rounded",
    must=True,
)
def shallow_over_deep(n: Numbers) -> Statistic:
    m = n.at(layers=12)
    return exact(n["shallow"][m] / n["deep"][m])


@equals(
    0,
    "The sawtooth network of k layers with 2 units each has exactly 2^k pieces.",
    within=0,
    source="Telgarsky (2015)",
    how="how many of k = 1 ... {n.config.folds} miss it; counted exactly",
    must=True,
)
def pieces(n: Numbers) -> Statistic:
    return exact(np.sum(n["pieces"] != 2 ** np.arange(1, len(n["pieces"]) + 1)))


@equals(
    lambda n: (2**n.config.folds - 1) / (2 * n.config.folds),
    "For 2^{n.config.folds} pieces one hidden layer needs {expected:,.0f} times as many units.",
    within=0,
    source="derived: a knot costs one layer a unit, so (2^k - 1) / (2 k)",
    how="knots counted in the deep network, over its units",
    must=True,
)
def units_for_a_sawtooth(n: Numbers) -> Statistic:
    return exact((n["pieces"][-1] - 1) / n["units of the sawtooth"][-1])


def picture(n: Numbers) -> Figure:
    """Draw units against error, deep and shallow."""
    figure, axes = panels(figsize=(6.5, 4.2))
    error = np.geomspace(n["error"][0], n["error"][-1], 100)
    axes.plot(error, 1 / np.sqrt(8 * error) - 1 / 2, color="tab:orange", lw=1)
    axes.plot(n["error"], n["shallow"], "s", ms=5, color="tab:orange", label="one hidden layer, the best")
    axes.plot(error, 3 * (-np.log2(error) / 2 - 1), color="tab:blue", lw=1)
    axes.plot(n["error"], n["deep"], "o", ms=5, color="tab:blue", label="m layers of 3 units (Yarotsky)")
    for name, color in (("shallow", "tab:orange"), ("deep", "tab:blue")):
        axes.annotate(
            f"{n[name][-1]:,}", (n["error"][-1], n[name][-1]), xytext=(0, 6), textcoords="offset points",
            ha="center", fontsize=9, color=color,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel=r"largest error of $x^2$ on [0, 1]", ylabel="hidden units")
    axes.set_ylim(0.7, 8000)
    axes.invert_xaxis()
    axes.set_title("Units that an accuracy costs")
    axes.legend(loc="upper left")
    return figure


def shallow_units(error: float) -> int:
    """Return the fewest ReLUs of one hidden layer for x^2 on [0, 1] up to an error."""
    return ceil(1 / sqrt(8 * error) - 1 / 2)


def count_pieces(params: Params, k: int) -> int:
    """Return the linear pieces on [0, 1] of a function whose knots lie among j / 2^k: between them it is linear."""
    y = value(params, np.arange(2 ** (k + 1) + 1) / 2 ** (k + 1))
    return 1 + int(np.count_nonzero(np.diff(np.diff(y))))
