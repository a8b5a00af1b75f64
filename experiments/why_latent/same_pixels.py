"""Learnt and random features on the same 493 pixels of MNIST, with the same loss, at the same number of features.

The loss is the squared error to ten targets of -1 and 1, on all 60,000 training images. Each seed draws weights of He's
size from 493 pixels to 3,200 ReLU features. The first d of them are the random features. They are also the start of a
493-d-10 network, whose features learn: Adam from 1e-3 to 0 along a cosine, batches of 128, ten epochs. On both kinds of
features the last layer is then solved by least squares, so that only the features differ.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_least, equals
from experiments.frame.numbers import NotMeasured, Numbers, Progress
from experiments.frame.plots import band, panels
from experiments.frame.statistics import Statistic, difference
from experiments.tasks import mnist_or_reason
from experiments.why_latent.least_squares import on_used_pixels, targets_of, wrong_images
from experiments.why_latent.networks import keys_of
from mlp_jax import Layer, Params
from mlp_jax.datasets import Examples

FORMULA = r"h = \max(0, x W_1 + b_1), \qquad \min_{W_2, b_2}\ \sum_n |h_n W_2 + b_2 - t_n|^2"
WIDTHS = (50, 200, 800)
MEASURED = ("random", "learnt", "network")


@dataclass(frozen=True)
class Config:
    """Whether the features learn is varied, and their number; the rest is held fixed."""

    widths: tuple[int, ...] = WIDTHS
    most: int = 3200  # random features; so many do not learn
    seeds: int = 4
    epochs: int = 10
    mnist: bool = True


FULL = Config()
QUICK = Config(mnist=False)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, Any]:
    """Return the test errors by number of features, (seeds, widths) each.

    They are "random" (the last width is `most`), "learnt", and "network": learnt features under the trained last layer.
    """
    dataset, reason = mnist_or_reason(config.mnist)
    if dataset is None:
        return dict.fromkeys(MEASURED, NotMeasured(reason))
    train, test = on_used_pixels(dataset)
    errors = []
    for seed, of_seed in enumerate(keys_of(key, config.seeds)):
        progress(seed / config.seeds)
        errors.append(errors_of(config, of_seed, train, test))
    return {
        "features": np.array((*config.widths, config.most)),
        **{name: np.array([one[name] for one in errors]) for name in MEASURED},
    }


def error(n: Numbers, kind: str, features: int) -> np.ndarray:
    """Return the test errors of a kind at a number of features (seeds,)."""
    return n[kind][:, n.at(features=features)]


HOW = "MNIST, 493 pixels, 10,000 test images, squared error, last layer by least squares, same seed"


@at_least(
    0,
    "On the same pixels and with the same loss {d} learnt features err less than {d} random ones.",
    d=WIDTHS,
    source="expected: features fitted to the task serve it better",
    how="random minus learnt; " + HOW,
)
def ahead(n: Numbers, d: int) -> Statistic:
    return difference(error(n, "random", d), error(n, "learnt", d))


@at_least(
    0,
    "Even 16 times as many random features err more than {d} learnt ones.",
    d=WIDTHS[:2],
    source="ours: the largest factor of this grid",
    how="random minus learnt; " + HOW,
)
def ahead_of_16_times(n: Numbers, d: int) -> Statistic:
    return difference(error(n, "random", 16 * d), error(n, "learnt", d))


@equals(
    0,
    "On {d} learnt features the network's own last layer errs as often as least squares.",
    within=0.003,
    d=WIDTHS,
    source="derived: both minimise the same loss",
    how="network minus least squares; 0.3 points, the 95 % binomial error; " + HOW,
)
def own_last_layer(n: Numbers, d: int) -> Statistic:
    return difference(error(n, "network", d), error(n, "learnt", d))


def picture(n: Numbers) -> Figure:
    """Draw the error over the number of features, random and learnt."""
    figure, axes = panels(figsize=(6.5, 4.0))
    for kind, color in {"random": "tab:orange", "learnt": "tab:blue"}.items():
        errors = 100 * n[kind]
        band(axes, n["features"][: errors.shape[1]], errors, marker="o", color=color, label=f"{kind} features")
    axes.set(xscale="log", yscale="log", xlabel="number of features d", ylabel="test error, %")
    axes.set_xticks(n["features"], map(str, n["features"]))
    axes.set_yticks((2, 5, 10, 20, 30), ("2", "5", "10", "20", "30"))
    axes.minorticks_off()
    axes.set_title("MNIST: the same pixels, the same loss, the same last layer")
    axes.legend()
    return figure


def errors_of(config: Config, key: jax.Array, train: Examples, test: Examples) -> dict[str, list[float]]:
    """Return the test errors of one seed, by kind and width."""
    start = np.asarray(_start(key, (train.x.shape[1], config.most)))
    random = wrong_images(partial(features, start, 0.0), train, test, (*config.widths, config.most))
    targets, learnt, network = targets_of(train.labels), [], []
    for width in config.widths:
        first, last = jax.tree.map(np.asarray, _trained(config.epochs, key, start[:, :width], train.x, targets))
        learnt += [*wrong_images(partial(features, *first), train, test)]
        z = features(first.weight, first.bias, test.x) @ last.weight + last.bias
        network.append(np.argmax(z, axis=1) != test.labels)
    return {
        "random": [wrong.mean() for wrong in random],
        "learnt": [wrong.mean() for wrong in learnt],
        "network": [wrong.mean() for wrong in network],
    }


def features(weight: np.ndarray, bias: Any, x: np.ndarray) -> np.ndarray:
    """Return max(0, x W + b)."""
    return np.maximum(x @ weight + bias, 0)


@partial(jax.jit, static_argnums=1)
def _start(key: jax.Array, shape: tuple[int, int]) -> jax.Array:
    return mlp_jax.init_params(key, shape)[0].weight


@partial(jax.jit, static_argnums=0)
def _trained(epochs: int, key: jax.Array, start: jax.Array, x: jax.Array, targets: jax.Array) -> Params:
    """Return a network after training its features from `start` with squared error."""
    batch = 128
    (last,) = mlp_jax.init_params(key, (start.shape[1], targets.shape[1]))
    params = (Layer(start, jax.numpy.zeros(start.shape[1])), last)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, epochs * -(-len(x) // batch)))
    return mlp_jax.train(
        key, params, (x, targets), optimizer=optimizer, epochs=epochs, batch_size=batch, loss=mlp_jax.squared_error
    ).params
