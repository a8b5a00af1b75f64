"""Features that are learnt against features that are drawn at random.

Digits: 64-d-10 ReLU networks of growing width d. Both start alike; in one all layers learn, in the other only the last,
on top of d random features. Adam, batches of 32, the learning rate by the lowest mean validation loss over the seeds;
every seed draws its own 1,248 digits to train on, 179 to validate and 370 to test.

MNIST, after Boyd & Vandenberghe (2018, sec. 14): the 493 pixels that are not 0 in at least 600 training images, over
255, and a constant; least squares for ten targets of -1 and 1. Then the same with 5,000 more features max(0, R x), R of
random signs. The normal equations are summed up in float32, with centred features, and solved in float64 after 1e-6 of
their mean diagonal is added to it. Next to both a 784-800-10 ReLU network that learns its features: Adam from 1e-3 to 0
along a cosine, batches of 128, ten epochs, all 60,000 images, cross-entropy.
"""

from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import NotMeasured, Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, difference, exact, mean
from experiments.runs_at_once import over_runs
from experiments.tasks import mnist_or_reason
from experiments.why_latent.least_squares import on_used_pixels, wrong_images
from experiments.why_latent.networks import (
    EXAMPLES,
    TRAINED_ON,
    digits,
    keys_of,
    orders,
    parts_of,
    split,
    starts,
)
from mlp_jax import Activation, Loss, Params, backprop
from mlp_jax.datasets import Dataset

FORMULA = r"h = \max(0, R\,x), \qquad \min_{W, b}\ \sum_n |h_n W + b - t_n|^2"
KINDS = ("random", "learnt")
ON_MNIST = ("MNIST linear", "MNIST random", "MNIST learnt")


@dataclass(frozen=True)
class Config:
    """Whether the features learn is varied, and their number; the rest is held fixed."""

    widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    seeds: int = 10
    epochs: int = 30
    rates: tuple[float, ...] = (3e-3, 1e-2, 3e-2)
    mnist: bool = True
    features: int = 5000
    draws: int = 3  # of the random features
    hidden: int = 800
    mnist_epochs: int = 10


FULL = Config()
QUICK = Config(widths=(32,), seeds=4, epochs=10, rates=(1e-2,), mnist=False)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, Any]:
    """Train on digits by width, then solve and train on MNIST.

    Returns:
      On digits the validation "loss" and test "error" (widths, kinds, rates, seeds). On MNIST which test images are
      wrong: "MNIST linear" (10000,), "MNIST random" (draws, 10000) and "MNIST learnt" (10000,).
    """
    of_digits, of_mnist = keys_of(key, 2)
    keys = keys_of(of_digits, config.seeds)
    runs = []
    for i, width in enumerate(config.widths):
        progress(0.3 * i / len(config.widths))
        runs.append(on_digits(config, keys, width))
    dataset, reason = mnist_or_reason(config.mnist)
    on_mnist = [NotMeasured(reason)] * 3 if dataset is None else errors_on_mnist(config, of_mnist, dataset, progress)
    return {
        "features": np.array(config.widths),
        "kind": np.array(KINDS),
        "rate": np.array(config.rates),
        "loss": np.stack([loss for loss, _ in runs]),
        "error": np.stack([error for _, error in runs]),
        **dict(zip(ON_MNIST, on_mnist, strict=True)),
    }


def at_best_rate(n: Numbers, kind: str) -> np.ndarray:
    """Return the test errors of a kind of features (widths, seeds), at the rate with the lowest validation loss."""
    best = np.argmin(n["loss"][:, n.at(kind=kind)].mean(axis=2), axis=1)
    return n["error"][np.arange(len(best)), n.at(kind=kind), best]


def gain(n: Numbers, width: int) -> Statistic:
    """Return how much more random features err than learnt ones."""
    return difference(at_best_rate(n, "random")[width], at_best_rate(n, "learnt")[width])


ON_DIGITS = "digits, 64-d-10 ReLU, d in {n.config.widths}, held-out error, random minus learnt, same seed"


@at_least(
    0,
    "At the fewest features learnt ones err less than random ones.",
    source="expected: features fitted to the task serve it better",
    how=ON_DIGITS,
)
def gain_at_fewest_features(n: Numbers) -> Statistic:
    return gain(n, 0)


@at_least(
    0,
    "At the most features learnt ones err less than random ones.",
    source="expected: features fitted to the task serve it better",
    how=ON_DIGITS,
)
def gain_at_most_features(n: Numbers) -> Statistic:
    return gain(n, -1)


BOOK = "Boyd & Vandenberghe, 2018, sec. 14 (from memory)"


@equals(
    0.139,
    "Least squares on 493 pixels errs on 13.9 % of MNIST's test images.",
    within=0.0005,
    source=BOOK,
    how="MNIST, 10,000 test images; half of the last digit given",
    must=True,
)
def MNIST_linear(n: Numbers) -> Statistic:
    return exact(n["MNIST linear"].mean())


@equals(
    0.026,
    "With 5,000 random features more it errs on 2.6 %.",
    within=0.003,
    source=BOOK,
    how="MNIST, 10,000 test images, over draws of the features; 0.3 points, the 95 % binomial error",
)
def MNIST_random(n: Numbers) -> Statistic:
    return mean(n["MNIST random"].mean(axis=1))


@at_most(
    0.02,
    "A network of 800 features that it learns errs on at most 2 %.",
    source="Simard, Steinkraus & Platt, 2003: 1.6 % after far more epochs (second hand: Srivastava et al., 2014)",
    how="MNIST, 10,000 test images, 784-{n.config.hidden}-10, {n.config.mnist_epochs} epochs, one network",
)
def MNIST_learnt(n: Numbers) -> Statistic:
    return exact(n["MNIST learnt"].mean())


@at_least(
    0,
    "800 learnt features err less than 5,000 random ones.",
    source="2.6 % against 1.6 %, both above",
    how="MNIST, 10,000 test images; per image, the draws' mean minus the network, and the interval over images",
)
def MNIST_learnt_ahead(n: Numbers) -> Statistic:
    return difference(n["MNIST random"].mean(axis=0), n["MNIST learnt"])


def picture(n: Numbers) -> Figure:
    """Draw the error on digits over the number of features."""
    figure, axes = panels(figsize=(6.5, 4.0))
    for kind, color in {"random": "tab:orange", "learnt": "tab:blue"}.items():
        found = [mean(100 * errors) for errors in at_best_rate(n, kind)]
        low, high = np.array([one.interval for one in found]).T
        axes.plot(n["features"], [one.value for one in found], "o-", color=color, label=f"{kind} features")
        axes.fill_between(n["features"], low, high, color=color, alpha=0.2, lw=0)
    axes.set(xscale="log", yscale="log", xlabel="number of features d", ylabel="error, %")
    axes.set_xticks(n["features"], map(str, n["features"]))
    axes.set_yticks((2, 5, 10, 20, 50), ("2", "5", "10", "20", "50"))
    axes.minorticks_off()
    axes.set_title("Digits: a linear layer on random features and on learnt ones")
    axes.legend()
    return figure


def on_digits(config: Config, keys: jax.Array, width: int) -> list[np.ndarray]:
    """Return validation loss and test error (kinds, rates, seeds) at one width. All runs are one program."""
    learns, rate, seed = map(np.array, zip(*product((0.0, 1.0), config.rates, range(config.seeds)), strict=True))
    of_split, of_rest, of_params = parts_of(keys)
    by_seed = (
        keys,
        orders(of_split),
        orders(of_rest, EXAMPLES - TRAINED_ON),
        starts(of_params, (64, width, 10)),
    )
    shared = (by_seed, *digits())
    found = over_runs(Partial(run_on_digits, config.epochs), (seed, np.float32(rate), np.float32(learns)), shared)
    return [a.reshape(len(KINDS), len(config.rates), config.seeds) for a in found]


def gradient_where_it_learns(
    learns: jax.Array, params: Params, x: jax.Array, targets: jax.Array, activation: Activation, loss: Loss
) -> tuple[jax.Array, Params]:
    """Return `backprop`, times 0 or 1 in all layers but the last: with 0 what they compute stays random."""
    value, gradients = backprop(params, x, targets, activation, loss)
    return value, (*jax.tree.map(lambda g: learns * g, gradients[:-1]), gradients[-1])


def run_on_digits(
    epochs: int, seed: jax.Array, rate: jax.Array, learns: jax.Array, by_seed: Any, x: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Train the network of one seed, and return its validation loss and test error."""
    key, order, order_of_rest, params = jax.tree.map(lambda a: a[seed], by_seed)
    data, rest = split(order, x, labels)
    validation, test = split(order_of_rest, *rest, first=179)
    result = mlp_jax.train(
        key,
        params,
        data,
        optimizer=optax.adam,
        hyperparameters={"learning_rate": rate},
        epochs=epochs,
        gradient=Partial(gradient_where_it_learns, learns),
    )
    wrong = mlp_jax.predict(mlp_jax.forward(result.params, test[0])) != test[1]
    return mlp_jax.evaluate(result.params, *validation).loss, jnp.mean(wrong)


def errors_on_mnist(config: Config, key: jax.Array, dataset: Dataset, progress: Progress) -> list[np.ndarray]:
    """Return which test images are wrong: linear (10000,), random (draws, 10000), network (10000,)."""
    train, test = on_used_pixels(dataset)
    (linear,) = wrong_images(lambda x: x, train, test)
    random = []
    for draw in range(config.draws):
        progress(0.35 + 0.4 * draw / config.draws)
        signs = jax.random.rademacher(jax.random.fold_in(key, draw), (config.features, train.x.shape[1]))
        random += [*wrong_images(partial(with_random_features, np.asarray(signs, np.float32)), train, test)]
    progress(0.75)
    return [linear, np.stack(random), network_errors(config, key, dataset)]


def with_random_features(R: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the pixels and max(0, R x)."""
    return np.concatenate([x, np.maximum(x @ R.T, 0)], axis=1)


def network_errors(config: Config, key: jax.Array, dataset: Dataset) -> np.ndarray:
    """Return which test images a trained network gets wrong."""
    x, labels = map(np.concatenate, zip(dataset.train, dataset.validation, strict=True))
    batch = 128
    steps = config.mnist_epochs * -(-len(x) // batch)
    params = mlp_jax.init_params(key, (x.shape[1], config.hidden, 10))
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, steps))
    result = mlp_jax.train(key, params, (x, labels), optimizer=optimizer, epochs=config.mnist_epochs, batch_size=batch)
    return np.asarray(mlp_jax.predict(mlp_jax.forward(result.params, dataset.test.x))) != dataset.test.labels
