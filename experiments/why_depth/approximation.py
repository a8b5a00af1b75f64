r"""The error of one hidden layer of ReLUs on x^2: the best there is, by networks written down, and the trained one.

A network 1-n-1 is piecewise linear with at most n knots. On a piece of length H a line misses x^2 by at least H^2 / 8
(Chebyshev: the error is extreme at both ends and in the middle, with alternating signs), a line that does not rise by
H^2 / 2. So N pieces of an error eps cover at most N sqrt(8 eps), and the best error is 1 / (8 N^2), with equal pieces.
n units make n + 1 pieces only where each has its knot in (0, 1); the slope left of all knots is then minus the jumps of
the units that look to the left. If all kinks are convex, the first piece does not rise: 1 <= (n + 1/2) sqrt(8 eps). If
one is concave, x^2 - f curves by at least 2 across it, so both its pieces cover sqrt(8 eps) together: 1 <= n sqrt(8
eps). So n units cannot do better than 1 / (8 (n + 1/2)^2), and they do reach it, by

    f(x) = h^2 / 8 + sum_i 2 h relu(x - (i + 1/2) h), i = 0 ... n - 1,  h = 1 / (n + 1/2),

which is evaluated at its knots and between them, in float64, where its error has its extremes. A search confirms that
no network of few units is better: knots by Nelder and Mead's method from every choice of the units' directions, output
weights by linear programming.

Trained: z = 2 x - 1 as input, He's initialisation with random biases, full batches of 256 points, Adam with cosine
decay to 0; the rate with the lowest mean squared error at the points between. Largest error on 2^14 + 1 points.
"""

from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import linprog, minimize

import mlp_jax
from experiments import tasks
from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import NotMeasuredError, Numbers, Progress
from experiments.frame.plots import band, panels
from experiments.frame.statistics import Statistic, exact, largest, median, slope, smallest
from experiments.runs_at_once import Tuned, at_best_rate
from experiments.why_depth.exact_nets import shallow_square, shallow_square_of_pieces, value
from experiments.why_depth.trainings import fitted, function, random_starts
from mlp_jax import Params

FORMULA = r"\min_f \max_{[0,1]} |f(x) - x^2| = \frac{1}{8 \left(n + \tfrac{1}{2}\right)^2}"


@dataclass(frozen=True)
class Config:
    """The width is varied."""

    units: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # of the networks that are written down
    searched: tuple[int, ...] = (1, 2, 3)
    trained: tuple[int, ...] = (4, 16, 64, 256)
    seeds: int = 20
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    steps: int = 5000
    points: int = 256


FULL = Config()
QUICK = Config(units=(1, 16, 256), searched=(1,), trained=(16,), seeds=5, rates=(1e-2,), steps=500)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Evaluate the best networks, search for better ones, and train.

    Returns:
      Largest errors: "best" and "of pieces" of the networks written down (units,), "found" by the search (searched,),
      and "error" of the trained ones at the best "rate" (trained, seeds).
    """
    trained, rng = [], tasks.generator(key)
    for i, width in enumerate(config.trained):
        progress(i / len(config.trained))
        trained.append(_train(config, rng, width))
    return {
        "units": np.array(config.units),
        "best": np.array([_largest_error(shallow_square(n), _knots(n)) for n in config.units]),
        "of pieces": np.array(
            [_largest_error(shallow_square_of_pieces(n), np.arange(n + 1) / n) for n in config.units]
        ),
        "searched": np.array(config.searched),
        "found": np.array([_search(n) for n in config.searched]),
        "trained": np.array(config.trained),
        "rate": np.array([tuned.rate for tuned in trained]),
        "error": np.stack([tuned.results[1] for tuned in trained]),
    }


def optimum(units: Any) -> Any:
    """Return the least error of n ReLUs on x^2."""
    return 1 / (8 * (np.asarray(units) + 0.5) ** 2)


TRAINING = "largest error over the optimum; {n.config.steps} steps, rate by the same rule at each width"


@at_most(
    1e-9,
    "Written down, n ReLUs have an error of exactly 1 / (8 (n + 1/2)^2), from n = 1 to 256.",
    source="derived; the same for N pieces by de Boor (1973)",
    how="relative, float64; rounding, 1.1e-16 n over an error of 1 / (8 n^2)",
    must=True,
)
def construction(n: Numbers) -> Statistic:
    return largest(np.abs(n["best"] / optimum(n["units"]) - 1))


@at_most(
    1e-9,
    "With a free first slope N pieces have exactly 1 / (8 N^2).",
    source="derived: lines on pieces of length 1 / N, whose errors alternate",
    how="relative, float64; rounding as before",
    must=True,
)
def pieces_of_a_skip(n: Numbers) -> Statistic:
    return largest(np.abs(n["of pieces"] * 8 * n["units"] ** 2 - 1))


@equals(
    -2,
    "The error of N pieces falls as N^-2.",
    within=1e-6,
    source="derived; de Boor (1973)",
    how="slope in the logarithms, measured in the networks; rounding",
    must=True,
)
def rate_of_the_best(n: Numbers) -> Statistic:
    return exact(np.polyfit(np.log(n["units"]), np.log(n["of pieces"]), 1)[0])


@at_least(
    1 - 1e-3,
    "A search over the networks of few ReLUs, {n.config.searched}, finds none that is better.",
    source="derived: each piece misses by H^2 / 8, a flat one by H^2 / 2",
    how="least error found over the optimum; between the 257 points that the search sees 4e-6 can hide",
    must=True,
)
def search(n: Numbers) -> Statistic:
    return smallest(n["found"] / optimum(n["searched"]))


@at_most(
    1.05,
    "The search comes to the optimum, so it could have seen a better one.",
    source="derived: 1 / (8 (n + 1/2)^2)",
    how="least error found over the optimum; 5 % for the search's end",
)
def search_arrives(n: Numbers) -> Statistic:
    return largest(n["found"] / optimum(n["searched"]))


@at_least(
    1,
    "No trained network is better than the optimum.",
    source="derived: the lower bound",
    how=TRAINING,
    must=True,
)
def trained_is_no_better(n: Numbers) -> Statistic:
    return smallest(n["error"] / optimum(n["trained"])[:, None])


@at_least(
    10,
    "Training does not find it: at 256 units the trained error is at least ten times the optimum.",
    source="expected before it was measured: training hardly moves the knots that it starts with",
    how=TRAINING,
)
def trained_ratio(n: Numbers) -> Statistic:
    return median(n["error"][n.at(trained=256)] / optimum(256))


@at_least(
    -1.5,
    "With width the trained error falls more slowly than n^-2.",
    source="expected before it was measured: half an order less than the optimum's -2",
    how="slope in the logarithms over widths {n.config.trained}; " + TRAINING,
)
def trained_rate(n: Numbers) -> Statistic:
    if len(n["trained"]) < 2:
        raise NotMeasuredError("one width has no slope: run without --quick")
    return slope(np.log(n["trained"]), np.log(n["error"].T))


def picture(n: Numbers) -> Figure:
    """Draw the error over the width: theory, the networks written down, and the trained ones."""
    figure, axes = panels(figsize=(6.5, 4.2))
    units = np.geomspace(n["units"][0], n["units"][-1], 100)
    axes.plot(units, optimum(units), color="tab:blue", lw=1, label=r"theory, $1 / (8 (n + 1/2)^2)$")
    axes.plot(n["units"], n["best"], "o", ms=5, color="tab:blue", label="written down")
    label = f"trained, median and range of {n.config.seeds}"
    band(axes, n["trained"], n["error"].T, marker="s", ms=5, color="tab:orange", label=label)
    axes.set(xscale="log", yscale="log", xlabel="ReLUs in the hidden layer", ylabel=r"largest error of $x^2$ on [0, 1]")
    axes.set_xticks(n["units"], map(str, n["units"]))
    axes.minorticks_off()
    axes.set_title("One hidden layer: the best error, and the trained one")
    axes.legend(loc="lower left")
    return figure


def _knots(units: int) -> np.ndarray:
    """Return where the best network's pieces end on [0, 1]."""
    return np.concatenate([[0], (np.arange(units + 1) + 0.5) / (units + 0.5)])


def _largest_error(params: Params, knots: np.ndarray) -> float:
    """Return the largest error on x^2: at the knots and in the middle between them, where a chord's is stationary."""
    x = np.sort(np.concatenate([knots, (knots[:-1] + knots[1:]) / 2]))
    return float(np.max(np.abs(value(params, x) - x**2)))


def _search(units: int) -> float:
    """Return the least error on a grid that is found, over the units' directions and knots."""
    grid = np.linspace(0, 1, 257)
    starts = (np.arange(units) + 0.7) / (units + 0.7)

    def error(knots: np.ndarray, directions: tuple[int, ...]) -> float:
        x = np.concatenate([grid, np.clip(knots, 0, 1)])
        features = [np.maximum(d * (x - knot), 0) for d, knot in zip(directions, knots, strict=True)]
        A = np.stack([*features, np.ones_like(x)], axis=1)
        bound = np.ones((len(x), 1))
        solved = linprog(
            [*np.zeros(units + 1), 1],
            np.block([[A, -bound], [-A, -bound]]),
            np.concatenate([x**2, -(x**2)]),
            bounds=(None, None),
        )
        return float(solved.fun)

    return min(
        float(minimize(error, starts, (directions,), "Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-7}).fun)
        for directions in product((1, -1), repeat=units)
    )


def _train(config: Config, rng: np.random.Generator, width: int) -> Tuned:
    x = np.linspace(0, 1, config.points, dtype=np.float32)[:, None]
    everywhere = np.linspace(0, 1, 2**14 + 1, dtype=np.float32)[:, None]
    starts = random_starts(rng, config.seeds, (1, width, 1))
    shared = (starts, x, (x[1:] + x[:-1]) / 2, everywhere)
    run = partial(_run, steps=config.steps)
    return at_best_rate(run, np.arange(config.seeds), config.rates, lambda results: results[0], shared)


def _run(seed: Any, rate: Any, starts: Params, x: Any, between: Any, everywhere: Any, steps: int) -> tuple[Any, Any]:
    """Return the mean squared error between the points, and the largest error."""
    params = fitted(jax.tree.map(lambda a: a[seed], starts), x, x**2, rate, steps)
    mse = mlp_jax.squared_error(function(params, between), between**2)
    return mse, jnp.max(jnp.abs(function(params, everywhere) - everywhere**2))
