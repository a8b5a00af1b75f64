r"""Sawtooths of 2^k pieces, by depth, at about equally many parameters.

Networks of 1, 2, 4 and 8 hidden layers with 414 to 451 parameters, each wide enough to represent every one of these
sawtooths; those weights are written down and evaluated. There are 512 points x = (i + 1/2) / 512, given to the network
as z = 2 x - 1, in full batches. Trained with Adam at 3e-3 with cosine decay to 0, He's initialisation, biases from
U(+-1 / sqrt(fan_in)). A run succeeds if its mean squared error is below 0.03^2; the constant 1/2 has 1/12 = 0.289^2.

The deepest network is also started near the exact weights for the most pieces, each multiplied by 1 + 1e-3 e, e
standard normal, and trained in the same way. It is trained once more at a rate of 1e-5, since Adam's first steps move
every weight by the whole rate, and 3e-3 is more than the distance to the exact weights.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.frame.claims import Because, at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import image_axes, panels
from experiments.frame.statistics import Statistic, largest, median, share
from experiments.runs_at_once import over_runs
from experiments.why_depth.exact_nets import on_symmetric_inputs, sawtooth_net
from experiments.why_depth.trainings import fitted, function, near, random_starts
from mlp_jax import Params

FORMULA = r"\int_0^1 \left(g^{(k)}(x) - \tfrac{1}{2}\right)^2 \mathrm{d}x = \tfrac{1}{12}"
WIDTHS = {1: 150, 2: 19, 4: 11, 8: 7}  # by depth: 451, 438, 430 and 414 parameters
SUCCESS = 0.03**2  # mean squared error


@dataclass(frozen=True)
class Config:
    """The depth and the pieces are varied, the number of parameters is held about fixed."""

    depths: tuple[int, ...] = tuple(WIDTHS)  # hidden layers
    ks: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    seeds: int = 10
    steps: int = 6000
    points: int = 512
    learning_rate: float = 3e-3
    small_rate: float = 1e-5  # for starts near the exact weights
    perturbation: float = 1e-3  # relative


FULL = Config()
QUICK = Config(depths=(4,), ks=(1, 6), seeds=3, steps=1000, points=256)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Evaluate the exact weights, and train every seed and every k of one depth as one program.

    Returns:
      Mean squared errors: "mse" (depths, ks, seeds), "exact" of the written weights (depths, ks), and those of the
      deepest network that started near its exact weights, "near" and "near, small rate" (seeds,).
    """
    x = np.float32((np.arange(config.points)[:, None] + 0.5) / config.points)
    train = partial(_error_after_training, steps=config.steps)
    pieces = 2.0 ** np.array(config.ks)
    exact, errors, rng = [], [], tasks.generator(key)
    for i, depth in enumerate(config.depths):
        progress(i / len(config.depths))
        written = jax.tree.map(lambda *a: np.float32(np.stack(a)), *[exact_weights(depth, k) for k in config.ks])
        exact.append(over_runs(_mean_squared_error, (written, pieces), (x,)))
        errors.append(over_runs(train, _runs(config, rng, depth), (x,)))
    near_weights = errors[-1][len(config.ks) * config.seeds :].reshape(2, -1)  # the deepest network's last runs
    return {
        "depth": np.array(config.depths),
        "pieces": pieces,
        "mse": np.stack([e[: len(config.ks) * config.seeds].reshape(len(config.ks), -1) for e in errors]),
        "exact": np.stack(exact),
        "near": near_weights[0],
        "near, small rate": near_weights[1],
    }


FOUND = "share of runs with a root mean squared error below 0.03, {n.config.steps} steps, all depths"


@at_most(
    0,
    "No run finds the sawtooth of {pieces} pieces, at any depth.",
    pieces=(32, 64),
    source="expected after Malach & Shalev-Shwartz (2019): gradient descent fails on fine fractals",
    how=FOUND,
)
def found(n: Numbers, pieces: int) -> Statistic:
    return share(n["mse"][:, n.at(pieces=pieces)] < SUCCESS)


@at_least(
    0.9,
    "The sawtooth of 2 pieces is found by nearly all runs: the same training does work.",
    source="expected: two ReLUs are enough",
    how=FOUND,
)
def found_2(n: Numbers) -> Statistic:
    return share(n["mse"][:, n.at(pieces=2)] < SUCCESS)


@equals(
    1,
    "At 64 pieces training stays at the error of the constant 1/2, 1/12.",
    within=0.1,
    source="derived: the variance of a uniform number, 1/12, whatever k",
    how="12 times the mean squared error; within 10 %: little was learnt",
)
def plateau(n: Numbers) -> Statistic:
    return median(12 * n["mse"][:, n.at(pieces=64)])


@at_most(
    0,
    "Yet networks of these very sizes represent every one, to 64 pieces, without any error.",
    source="derived: the product of the layers' pieces, with dyadic weights (Telgarsky, 2015)",
    how="mean squared error of the written weights in float32",
    must=True,
)
def exact_weights_error(n: Numbers) -> Statistic:
    return largest(n["exact"])


@at_most(
    SUCCESS,
    "Started within 1e-3 of the exact weights and trained with steps smaller than that distance, it stays.",
    source="the same bound that counts as success",
    how="mean squared error after training with Adam at {n.config.small_rate:g}: a hundredth of the distance a step",
)
def near_at_small_steps(n: Numbers) -> Statistic:
    return largest(n["near, small rate"])


@at_most(
    SUCCESS,
    "Started within 1e-3 of the exact weights for 64 pieces, the same training stays there.",
    source="the same bound that counts as success",
    how="mean squared error after training, the deepest network",
    because=Because(
        "Adam's first steps move every weight by the whole rate, {n.config.learning_rate:g}, which is more than "
        "{n.config.perturbation:g}; at {n.config.small_rate:g} the same starts stay",
        near_at_small_steps,
    ),
)
def near_exact_weights(n: Numbers) -> Statistic:
    return largest(n["near"])


def picture(n: Numbers) -> Figure:
    """Draw the share of runs that succeed, by depth and pieces."""
    figure, axes = panels(figsize=(6.5, 3.6))
    shares = (n["mse"] < SUCCESS).mean(axis=2)
    image = image_axes(axes).imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (i, j), rmse in np.ndenumerate(np.sqrt(np.median(n["mse"], axis=2))):
        error = f"{rmse:.2f}" if rmse >= 0.01 else f"{rmse:.0e}".replace("e-0", "e-")
        text = f"{np.sum(n['mse'][i, j] < SUCCESS)} of {n.config.seeds}\nrmse {error}"
        axes.text(j, i, text, ha="center", va="center", fontsize=9, color="black" if shares[i, j] > 0.5 else "white")
    axes.set_xticks(range(len(n["pieces"])), [f"{pieces:.0f}" for pieces in n["pieces"]])
    axes.set_yticks(range(len(n["depth"])), [str(depth) for depth in n["depth"]])
    axes.set(xlabel="pieces of the sawtooth", ylabel="hidden layers")
    axes.set_title("Runs that find the sawtooth, and their median error (a constant: 0.29)")
    figure.colorbar(image, ax=axes, label="share that succeeds")
    return figure


def exact_weights(depth: int, k: int) -> Params:
    """Return the sawtooth of 2^k pieces as a network of this depth, on [-1, 1]: each layer folds its share."""
    folds = [2 ** ((k + layer) // depth) for layer in range(depth)]
    return on_symmetric_inputs(sawtooth_net(folds, WIDTHS[depth]))


def _runs(config: Config, rng: np.random.Generator, depth: int) -> tuple[Params, np.ndarray, np.ndarray]:
    """Return start, pieces and rate of every run: all k and seeds, and for the deepest those near its weights."""
    pieces = np.repeat(2.0 ** np.array(config.ks), config.seeds)
    starts = random_starts(rng, len(pieces), (1, *depth * (WIDTHS[depth],), 1))
    rates = np.full(len(pieces), config.learning_rate)
    if depth != config.depths[-1]:
        return starts, pieces, rates
    around = near(rng, config.seeds, exact_weights(depth, config.ks[-1]), config.perturbation)
    near_rates = np.repeat([config.learning_rate, config.small_rate], config.seeds)  # the same starts at both rates
    return (
        jax.tree.map(lambda a, b: np.concatenate([a, b, b]), starts, around),
        np.concatenate([pieces, np.full(len(near_rates), pieces[-1])]),
        np.concatenate([rates, near_rates]),
    )


def _error_after_training(params: Params, pieces: Any, rate: Any, x: Any, steps: int) -> jax.Array:
    return _mean_squared_error(fitted(params, x, tasks.sawtooth(x, pieces), rate, steps), pieces, x)


def _mean_squared_error(params: Params, pieces: Any, x: Any) -> jax.Array:
    return mlp_jax.squared_error(function(params, x), tasks.sawtooth(x, pieces))
