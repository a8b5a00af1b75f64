"""What networks make of two spirals while they learn, without an activation and with sigmoid, tanh and ReLU.

Networks 2-32-32-2, biases 0, two spirals of 1.5 turns, 300 examples, full batches, Adam. Each activation has its own
learning rate: of four, the one with the lowest mean validation error over the times shown, so that of two that end
alike the faster is taken. Accuracy is measured on 1,000 other examples of the same spirals. The best straight line for
the training examples is found among all lines: an optimal one can be turned and pushed until it passes two examples.
The networks shown have the median accuracy of their seeds.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.intervals import share_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import at_best_rate
from mlp_jax import Activation
from mlp_jax.activations import ACTIVATIONS

FORMULA = r"p(1 \mid x) = \mathrm{softmax}(\varphi(\varphi(x W_1 + b_1) W_2 + b_2) W_3 + b_3)_1"
CAPTION = (
    "The probability of the orange spiral while a network of two hidden layers of 32 learns. Without an activation the "
    "border is a straight line, however long it trains."
)
ROWS = {"identity": "no activation", "sigmoid": "sigmoid", "tanh": "tanh", "relu": "ReLU"}
GRID = 44  # points along each side of the pictures
EDGE = 1.15
MAP = LinearSegmentedColormap.from_list("spirals", ["#0b5394", "#9fc5e8", "#f7f7f7", "#f9cb9c", "#b45f06"], N=16)


@dataclass(frozen=True)
class Config:
    """The activation is varied, the rest is held fixed."""

    activations: tuple[str, ...] = tuple(ROWS)
    seeds: int = 10
    examples: int = 300
    validation: int = 1000
    shown: tuple[int, ...] = (10, 100, 300, 2000)  # steps after which pictures are taken
    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1)
    width: int = 32


FULL = Config()
QUICK = Config(activations=("identity", "relu"), seeds=2, rates=(0.03,), shown=(10, 30, 100, 600), validation=300)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Train every activation on the same spirals."""
    of_train, of_validation, of_runs = jax.random.split(key, 3)
    train, validation = tasks.spirals(of_train, config.examples), tasks.spirals(of_validation, config.validation)
    grid = jnp.stack(jnp.meshgrid(*2 * (jnp.linspace(-EDGE, EDGE, GRID),)), axis=-1).reshape(-1, 2)
    keys = jax.random.split(of_runs, config.seeds)
    line = best_line_accuracy(*map(np.asarray, train))
    found = {}
    for i, name in enumerate(config.activations):
        progress(i / len(config.activations))
        run = _run(config, ACTIVATIONS[name])
        found[name] = at_best_rate(
            run, keys, config.rates, lambda r: 1 - r["validation"].mean(axis=1), (train, validation, grid)
        )
    straight = found["identity"].results["right"] / config.examples
    claims = [
        Claim(
            "straight line",
            "Without an activation no network does better on its spirals than the best straight line.",
            "<=",
            line,
            f"the best of all lines, found: {line:.1%} of the {config.examples} training examples",
            float(np.max(straight)),
            "training accuracy at the end, the best of all seeds",
            seeds=config.seeds,
            exact=True,
        )
    ]
    for name in config.activations[1:]:
        share, interval = share_and_interval(found[name].results["validation"][:, -1] >= 0.99)
        claims.append(
            Claim(
                f"{name} spirals",
                f"With {ROWS[name]} the same network tells the spirals apart.",
                ">=",
                0.5,
                "fixed before looking: most seeds",
                share,
                f"share of seeds with 99 % or more of {config.validation:,} new examples right after "
                f"{config.shown[-1]:,} steps; learning rate {found[name].rate:g}, best of {config.rates}",
                interval,
                config.seeds,
            )
        )
    pictures = {
        name: np.round(99 * tuned.results["pictures"][_median_run(tuned.results["validation"][:, -1])]).astype(int)
        for name, tuned in found.items()
    }
    data = {
        "shown": list(config.shown),
        "pictures": pictures,
        "points": np.round(np.asarray(train[0]), 3),
        "labels": np.asarray(train[1]),
        "accuracy": {name: np.median(tuned.results["validation"][:, -1]) for name, tuned in found.items()},
    }
    return Finding(tuple(claims), data)


def _run(config: Config, phi: Activation) -> Any:
    """A run: train in stages, from picture to picture."""

    def run(key: jax.Array, rate: jax.Array, train: Any, validation: Any, grid: Any) -> dict[str, jax.Array]:
        params = mlp_jax.init_params(key, (2, config.width, config.width, 2), phi)
        optimizer = optax.adam(rate)

        def step(_: int, carry: Any) -> Any:
            params, state = carry
            gradients = mlp_jax.backprop(params, train[0], train[1], phi)[1]
            updates, state = optimizer.update(gradients, state)
            return optax.apply_updates(params, updates), state

        def stage(carry: Any, steps: jax.Array) -> tuple[Any, Any]:
            params, state = jax.lax.fori_loop(0, steps, step, carry)
            p = mlp_jax.softmax(mlp_jax.forward(params, grid, phi))[:, 1]
            right = mlp_jax.predict(mlp_jax.forward(params, validation[0], phi)) == validation[1]
            return (params, state), (p.reshape(GRID, GRID), jnp.mean(right))

        stages = jnp.diff(jnp.array((0, *config.shown)))
        (params, _), (pictures, accuracy) = jax.lax.scan(stage, (params, optimizer.init(params)), stages)
        return {
            "pictures": pictures,
            "right": jnp.sum(mlp_jax.predict(mlp_jax.forward(params, train[0], phi)) == train[1]),
            "validation": accuracy,
        }

    return run


def best_line_accuracy(x: np.ndarray, labels: np.ndarray) -> float:
    """The best accuracy of any straight line: every direction just beside that of two points, every offset."""
    x = x.astype(float)
    i, j = np.triu_indices(len(x), 1)
    angle = np.arctan2(*(x[j] - x[i]).T[::-1]) + np.pi / 2
    best, ones = 0, int(labels.sum())
    for turn in (-1e-7, 1e-7):
        for directions in np.array_split(angle + turn, max(1, len(angle) // 2000)):
            order = np.argsort(x @ np.stack([np.cos(directions), np.sin(directions)]), axis=0)
            below = np.cumsum(2 * labels[order] - 1, axis=0)  # ones less zeros among the lowest k
            # zeros below and ones above are right, or ones below and zeros above
            best = max(best, ones - min(0, int(below.min())), len(x) - ones + max(0, int(below.max())))
    return best / len(x)


def _median_run(accuracy: np.ndarray) -> int:
    """The run whose accuracy is the (upper) median."""
    return int(np.argsort(accuracy)[len(accuracy) // 2])


def _dots(points: np.ndarray) -> np.ndarray:
    """Points as one line of tiny dashes, x and y: as a line they take a tenth of the space in an SVG file."""
    gaps = np.full_like(points, np.nan)
    return np.stack([points, points + 0.004, gaps], axis=1).reshape(-1, 2).T


def picture(data: dict[str, Any]) -> Figure:
    """Activations down, time across."""
    shown, pictures = data["shown"], data["pictures"]
    figure, axes = plt.subplots(
        len(pictures),
        len(shown),
        figsize=(7.0, 0.3 + 1.75 * len(pictures)),
        layout="constrained",
        sharex=True,
        sharey=True,
        dpi=60,
    )
    points, labels = np.array(data["points"])[:70], np.array(data["labels"])[:70]
    for row, (name, over_time) in zip(axes, pictures.items(), strict=True):
        for axis, steps, values in zip(row, shown, over_time, strict=True):
            extent = (-EDGE, EDGE, -EDGE, EDGE)
            axis.imshow(values, origin="lower", extent=extent, cmap=MAP, vmin=0, vmax=99, interpolation="bilinear",
                        interpolation_stage="data")  # fmt: skip
            for label, color in ((0, "#04203f"), (1, "#5c2d00")):
                axis.plot(*_dots(points[labels == label]), color=color, lw=2.2, solid_capstyle="round")
            axis.set(xticks=[], yticks=[])
            if name == "identity":
                axis.set_title(f"{steps:,} steps", fontsize=10)
        row[0].set_ylabel(f"{ROWS[name]}\n{data['accuracy'][name]:.0%} right", fontsize=10)
    return figure
