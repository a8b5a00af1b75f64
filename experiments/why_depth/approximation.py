r"""One hidden layer of ReLUs on x^2: the best error falls as 1/n^2, by networks written down; and what training finds.

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
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import linprog, minimize

import mlp_jax
from experiments.intervals import median_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import Tuned, at_best_rate
from experiments.why_depth.exact_nets import shallow_square, shallow_square_of_pieces
from experiments.why_depth.separation import value
from experiments.why_depth.trainings import adam_to_zero, random_start

FORMULA = r"\min_f \max_{[0,1]} |f(x) - x^2| = \frac{1}{8 \left(n + \tfrac{1}{2}\right)^2}"
CAPTION = "The largest error of one hidden layer on x^2: the best there is, and what training finds."


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


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Evaluate the best networks, search for better ones, and train."""
    best = [_largest_error(shallow_square(n), _knots(n)) for n in config.units]
    of_pieces = [_largest_error(shallow_square_of_pieces(n), np.arange(n + 1) / n) for n in config.units]
    searched = [_search(n) for n in config.searched]
    trained = []
    for i, width in enumerate(config.trained):
        progress(i / len(config.trained))
        trained.append(_train(config, jax.random.fold_in(key, width), width))
    errors = [np.asarray(tuned.results[1], float) for tuned in trained]
    summaries = [median_and_interval(of_width) for of_width in errors]
    data = {
        "units": list(config.units),
        "best": best,
        "trained": list(config.trained),
        "rates": [tuned.rate for tuned in trained],
        "median": [median for median, _ in summaries],
        "errors": [np.sort(of_width) for of_width in errors],
        "searched": {"units": list(config.searched), "errors": searched},
    }
    return Finding(_claims(config, best, of_pieces, searched, errors), data)


def optimum(units: Any) -> Any:
    """The least error of n ReLUs on x^2."""
    return 1 / (8 * (np.asarray(units) + 0.5) ** 2)


def _claims(
    config: Config, best: list[float], of_pieces: list[float], searched: list[float], errors: list[np.ndarray]
) -> tuple[Claim, ...]:
    n = np.array(config.units)
    widths = np.array(config.trained)
    ratios = [of_width / optimum(width) for of_width, width in zip(errors, widths, strict=True)]
    training = f"{config.seeds} seeds, {config.steps} steps, rate by the same rule at each width"
    median, interval = median_and_interval(ratios[-1])
    claims = [
        Claim(
            "construction",
            f"Written down, n ReLUs have an error of exactly 1 / (8 (n + 1/2)^2), from n = {n[0]} to {n[-1]}.",
            "<=",
            1e-9,
            "derived; the same for N pieces by de Boor (1973)",
            float(np.max(np.abs(best / optimum(n) - 1))),
            "relative, the worst, float64; rounding, 1.1e-16 n over an error of 1 / (8 n^2)",
            exact=True,
        ),
        Claim(
            "pieces of a skip",
            "With a free first slope N pieces have exactly 1 / (8 N^2).",
            "<=",
            1e-9,
            "derived: lines on pieces of length 1 / N, whose errors alternate",
            float(np.max(np.abs(np.array(of_pieces) * 8 * n**2 - 1))),
            "relative, the worst, float64; rounding as before",
            exact=True,
        ),
        Claim(
            "rate of the best",
            "The error of N pieces falls as N^-2.",
            "=",
            -2,
            "derived; de Boor (1973)",
            float(np.polyfit(np.log(n), np.log(of_pieces), 1)[0]),
            "slope in the logarithms, measured in the networks; rounding",
            tolerance=1e-6,
            exact=True,
        ),
        Claim(
            "search",
            f"A search over the networks of up to {config.searched[-1]} ReLUs finds none that is better.",
            ">=",
            1 - 1e-3,
            "derived: each piece misses by H^2 / 8, a flat one by H^2 / 2",
            float(np.min(searched / optimum(config.searched))),
            "least error found over the optimum, the lowest; between the 257 points that the search sees 4e-6 can hide",
            exact=True,
        ),
        Claim(
            "search arrives",
            "The search comes to the optimum, so it could have seen a better one.",
            "<=",
            1.05,
            "derived: 1 / (8 (n + 1/2)^2)",
            float(np.max(searched / optimum(config.searched))),
            "least error found over the optimum, the highest; 5 % for the search's end",
        ),
        Claim(
            "trained is no better",
            "No trained network is better than the optimum.",
            ">=",
            1,
            "derived: the lower bound",
            float(min(ratio.min() for ratio in ratios)),
            f"largest error over the optimum, the lowest of all runs; {training}",
            seeds=config.seeds,
            exact=True,
        ),
        Claim(
            "trained ratio",
            f"Training does not find it: at {widths[-1]} units the trained error is at least ten times the optimum.",
            ">=",
            10,
            "expected before it was measured: training hardly moves the knots that it starts with",
            median,
            f"largest error over the optimum, median; {training}",
            interval,
            config.seeds,
        ),
    ]
    if len(widths) > 1:
        slope, interval = median_and_interval(
            [np.polyfit(np.log(widths), np.log(row), 1)[0] for row in np.array(errors).T]
        )
        claims.append(
            Claim(
                "trained rate",
                "With width the trained error falls more slowly than n^-2.",
                ">=",
                -1.5,
                "expected before it was measured: half an order less than the optimum's -2",
                slope,
                f"slope in the logarithms over widths {', '.join(map(str, widths))}, median; {training}",
                interval,
                config.seeds,
            )
        )
    return tuple(claims)


def _knots(units: int) -> np.ndarray:
    """Where the best network's pieces end on [0, 1]."""
    return np.concatenate([[0], (np.arange(units + 1) + 0.5) / (units + 0.5)])


def _largest_error(params: mlp_jax.Params, knots: np.ndarray) -> float:
    """The largest error on x^2: at the knots and in the middle between them, where it is stationary for a chord."""
    x = np.sort(np.concatenate([knots, (knots[:-1] + knots[1:]) / 2]))
    return float(np.max(np.abs(value(params, x) - x**2)))


def _search(units: int) -> float:
    """The least error on a grid that is found, over the units' directions and knots."""
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


def _train(config: Config, key: jax.Array, width: int) -> Tuned:
    x = jnp.linspace(0, 1, config.points)[:, None]
    between = (x[1:] + x[:-1]) / 2
    everywhere = jnp.linspace(0, 1, 2**14 + 1)[:, None]
    starts = jax.vmap(partial(random_start, sizes=(1, width, 1)))(jax.random.split(key, config.seeds))
    run = partial(_run, steps=config.steps, optimizer=partial(adam_to_zero, config.steps))
    shared = (starts, x, between, everywhere)
    return at_best_rate(run, jnp.arange(config.seeds), config.rates, lambda results: results[0], shared)


def _run(
    seed: jax.Array,
    rate: jax.Array,
    starts: mlp_jax.Params,
    x: jax.Array,
    between: jax.Array,
    everywhere: jax.Array,
    steps: int,
    optimizer: Any,
) -> tuple[jax.Array, jax.Array]:
    """The mean squared error between the points, and the largest error."""
    params = mlp_jax.train(
        jax.random.key(0),  # full batches: nothing is random
        jax.tree.map(lambda a: a[seed], starts),
        (2 * x - 1, x**2),
        optimizer=optimizer,
        epochs=steps,
        batch_size=len(x),
        loss=mlp_jax.squared_error,
        hyperparameters={"learning_rate": rate},
    ).params
    mse = mlp_jax.squared_error(mlp_jax.forward(params, 2 * between - 1), between**2)
    return mse, jnp.max(jnp.abs(mlp_jax.forward(params, 2 * everywhere - 1) - everywhere**2))


def picture(data: dict[str, Any]) -> Figure:
    """Error over width: theory, the networks written down, and the trained ones."""
    figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    n = np.geomspace(data["units"][0], data["units"][-1], 100)
    axes.plot(n, optimum(n), color="tab:blue", lw=1, label=r"theory, $1 / (8 (n + 1/2)^2)$")
    axes.plot(data["units"], data["best"], "o", ms=5, color="tab:blue", label="written down")
    rows = np.array(data["errors"])
    label = f"trained, median and range of {rows.shape[1]}"
    axes.plot(data["trained"], data["median"], "s-", ms=5, color="tab:orange", label=label)
    axes.fill_between(data["trained"], rows.min(axis=1), rows.max(axis=1), color="tab:orange", alpha=0.25, lw=0)
    axes.set(xscale="log", yscale="log", xlabel="ReLUs in the hidden layer", ylabel=r"largest error of $x^2$ on [0, 1]")
    axes.set_xticks(data["units"], map(str, data["units"]))
    axes.minorticks_off()
    axes.set_title("One hidden layer: the best error, and the trained one")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="lower left")
    return figure
