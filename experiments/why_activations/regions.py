"""What networks make of two spirals while they learn, without an activation and with sigmoid, tanh and ReLU.

Networks 2-32-32-2, biases 0, two spirals of 1.5 turns, 300 examples, full batches, Adam. Each activation has its own
learning rate: of four, the one with the lowest mean validation error over the times shown, so that of two that end
alike the faster is taken. Accuracy is measured on 1,000 other examples of the same spirals. The best straight line for
the training examples is found among all lines: an optimal one can be turned and pushed until it passes two examples.
The networks shown have the median accuracy of their seeds.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import image_axes, panels
from experiments.frame.statistics import Statistic, largest, median, share
from experiments.runs_at_once import over_runs
from experiments.why_activations.shared import LABELS, starts
from mlp_jax import Activation, Params
from mlp_jax.activations import ACTIVATIONS

FORMULA = r"p(1 \mid x) = \mathrm{softmax}(\varphi(\varphi(x W_1 + b_1) W_2 + b_2) W_3 + b_3)_1"
GRID = 44  # points along each side of the pictures
EDGE = 1.15
MAP = LinearSegmentedColormap.from_list("spirals", ["#0b5394", "#9fc5e8", "#f7f7f7", "#f9cb9c", "#b45f06"], N=16)


@dataclass(frozen=True)
class Config:
    """The activation is varied, the rest is held fixed."""

    activations: tuple[str, ...] = ("identity", "sigmoid", "tanh", "relu")
    seeds: int = 20
    examples: int = 300
    validation: int = 1000
    shown: tuple[int, ...] = (10, 100, 300, 2000)  # steps after which pictures are taken
    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1)
    width: int = 32


FULL = Config()
QUICK = Config(
    activations=("identity", "relu"), seeds=2, rates=(0.03,), shown=(10, 30, 100, 600), examples=150, validation=300
)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Train every activation at every rate on the same spirals.

    Returns:
      "accuracy" on new examples (activations, rates, seeds, shown), the training examples that are "right" at the end
      (activations, rates, seeds), and the "pictures" of the chosen networks, in percent (activations, shown, y, x).
    """
    rng = tasks.generator(key)
    train, new = tasks.spirals(rng, config.examples), tasks.spirals(rng, config.validation)
    points = np.stack(np.meshgrid(*2 * (np.linspace(-EDGE, EDGE, GRID),)), axis=-1).reshape(-1, 2)
    sizes, seed = (2, config.width, config.width, 2), rng.integers(2**31)
    of_all = [starts(np.random.default_rng(seed), config.seeds, sizes, name) for name in config.activations]
    of_rates = jax.tree.map(lambda a: np.concatenate(len(config.rates) * [a]), of_all)
    runs = of_rates, np.repeat(config.rates, config.seeds)
    found = over_runs(partial(_trained, config), runs, (train, new, points))
    by_rate = {
        name: np.stack(arrays).reshape(-1, len(config.rates), config.seeds, *arrays[0].shape[1:])
        for name, arrays in found.items()
    }
    accuracy = by_rate["accuracy"]
    chosen = [(i, rate, _median_run(accuracy[i, rate, :, -1])) for i, rate in enumerate(best_rates(accuracy))]
    return {
        "activation": np.array(config.activations),
        "shown": np.array(config.shown),
        "points": train[0].astype(np.float32),
        "labels": train[1].astype(np.uint8),
        "best line": np.array(best_line_accuracy(*train)),
        "accuracy": accuracy,
        "right": by_rate["right"],
        "pictures": np.stack([np.round(100 * by_rate["pictures"][run]).astype(np.uint8) for run in chosen]),
    }


def _trained(config: Config, starts: list[Params], rate: jax.Array, *data: Any) -> dict[str, list[jax.Array]]:
    """Train every activation in stages, from picture to picture; return lists over activations."""
    names = zip(config.activations, starts, strict=True)
    found = [_in_stages(config, ACTIVATIONS[name], start, rate, *data) for name, start in names]
    return {name: [one[name] for one in found] for name in found[0]}


def _in_stages(
    config: Config, phi: Activation, params: Params, rate: jax.Array, train: Any, new: Any, points: Any
) -> dict[str, jax.Array]:
    optimizer = optax.adam(rate)

    def step(_: int, carry: Any) -> Any:
        params, state = carry
        gradients = mlp_jax.backprop(params, train[0], train[1], phi)[1]
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state

    def stage(carry: Any, steps: jax.Array) -> tuple[Any, Any]:
        params, state = jax.lax.fori_loop(0, steps, step, carry)
        p = mlp_jax.softmax(mlp_jax.forward(params, points, phi))[:, 1]
        right = mlp_jax.predict(mlp_jax.forward(params, new[0], phi)) == new[1]
        return (params, state), (p.reshape(GRID, GRID), jnp.mean(right))

    stages = jnp.diff(jnp.array((0, *config.shown)))
    (params, _), (pictures, accuracy) = jax.lax.scan(stage, (params, optimizer.init(params)), stages)
    right = mlp_jax.predict(mlp_jax.forward(params, train[0], phi)) == train[1]
    return {"pictures": pictures, "right": jnp.sum(right), "accuracy": accuracy}


def best_rates(accuracy: np.ndarray) -> np.ndarray:
    """Return the index of each activation's best learning rate, from accuracy (activations, rates, seeds, shown)."""
    return accuracy.mean(axis=(2, 3)).argmax(axis=1)


def at_best_rate(n: Numbers, name: str) -> np.ndarray:
    """Return an array at each activation's best rate, (activations, seeds, ...)."""
    return np.stack([runs[rate] for runs, rate in zip(n[name], best_rates(n["accuracy"]), strict=True)])


@at_most(
    lambda n: n["best line"],
    "Without an activation no network does better on its spirals than the best straight line.",
    source="the best of all lines, found: {expected:.1%} of the {n.config.examples} training examples",
    how="training accuracy at the end",
    must=True,
)
def straight_line(n: Numbers) -> Statistic:
    return largest(at_best_rate(n, "right")[n.at(activation="identity")] / n.config.examples)


@equals(
    lambda n: n["best line"],
    "On new examples such a network is right about as often as that line on its own.",
    within=0.05,
    source="the best of all lines, on the examples that it was found for: {expected:.1%}",
    how="{n.config.validation:,} new examples, at the end; 5 %: they are other examples",
)
def no_activation(n: Numbers) -> Statistic:
    return median(at_best_rate(n, "accuracy")[n.at(activation="identity"), :, -1])


@at_least(
    0.5,
    "With {phi} the same network tells the spirals apart.",
    phi=("sigmoid", "tanh", "ReLU"),
    source="fixed before looking: most seeds",
    how="99 % or more of {n.config.validation:,} new examples right after the last of {n.config.shown} steps; learning "
    "rate: best of {n.config.rates}",
)
def spirals(n: Numbers, phi: str) -> Statistic:
    return share(at_best_rate(n, "accuracy")[n.at(activation=phi.lower()), :, -1] >= 0.99)


def picture(n: Numbers) -> Figure:
    """Draw the networks with the median accuracy, activations down and time across."""
    shape = n["pictures"].shape[:2]
    figure, axes = panels(*shape, figsize=(7.0, 0.3 + 1.75 * shape[0]), sharex=True, sharey=True, squeeze=False, dpi=60)
    points, labels = n["points"][:70], n["labels"][:70]
    right = np.median(at_best_rate(n, "accuracy")[:, :, -1], axis=1)
    for (i, j), panel in np.ndenumerate(axes):
        image_axes(panel).imshow(
            n["pictures"][i, j], origin="lower", extent=(-EDGE, EDGE, -EDGE, EDGE), cmap=MAP, vmin=0, vmax=100,
            interpolation="bilinear", interpolation_stage="data",
        )  # fmt: skip
        for label, color in enumerate(("#04203f", "#5c2d00")):
            panel.plot(*_dots(points[labels == label]), color=color, lw=2.2, solid_capstyle="round")
        panel.set(xticks=[], yticks=[])
        if i == 0:
            panel.set_title(f"{n['shown'][j]:,} steps", fontsize=10)
        if j == 0:
            panel.set_ylabel(f"{LABELS[str(n['activation'][i])]}\n{right[i]:.0%} right", fontsize=10)
    return figure


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
