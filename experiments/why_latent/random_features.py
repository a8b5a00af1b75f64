"""Features that are learnt against features that are drawn at random.

Digits: 64-d-10 ReLU networks of growing width d. Both start alike; in one all layers learn, in the other only the last,
on top of d random features. Adam, batches of 32, the learning rate by the lowest mean validation loss over the seeds;
every seed draws its own 1,248 digits to train on, 179 to validate and 370 to test.

MNIST, after Boyd & Vandenberghe (2018, sec. 14): the 493 pixels that are not 0 in at least 600 training images, over
255, and a constant; least squares for ten targets of -1 and 1. Then the same with 5,000 more features max(0, R x), R of
random signs. The normal equations are summed up in float32, with centred features, and solved in float64 after 1e-6 of
their mean diagonal is added to it. Against both a 784-800-10 ReLU network that learns its features: Adam from 1e-3 to 0
along a cosine, batches of 128, ten epochs, all 60,000 images.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.tree_util import Partial
from matplotlib.figure import Figure
from scipy.linalg import blas, solve

import mlp_jax
from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs
from experiments.tasks import as_drawn, mnist_or_reason
from experiments.why_latent.networks import digits, error, split
from mlp_jax import Activation, Loss, Params, backprop
from mlp_jax.datasets import Dataset

FORMULA = r"h = \max(0, R\,x), \qquad \min_{W, b}\ \sum_n |h_n W + b - t_n|^2"
CAPTION = (
    "Error on digits held out, over the number of features: random ones, on top of which only a linear layer learns, "
    "and learnt ones. The band is the 95 % interval of the mean over seeds."
)


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

RIDGE = 1e-6  # of the mean diagonal of the normal equations


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Train on digits by width, then solve and train on MNIST."""
    of_digits, of_mnist = jax.random.split(key)
    errors: dict[str, list[list[float]]] = {"random": [], "learnt": []}
    rates: dict[str, list[float]] = {"random": [], "learnt": []}
    for i, width in enumerate(config.widths):
        for name, (rate, of_seeds) in errors_on_digits(config, of_digits, width).items():
            errors[name].append(of_seeds)
            rates[name].append(rate)
        progress(0.3 * (i + 1) / len(config.widths))
    claims = _claims_of_digits(config, errors)
    dataset, reason = mnist_or_reason(config.mnist)
    measured = None if dataset is None else errors_on_mnist(config, of_mnist, dataset, progress)
    return Finding((*claims, *_claims_of_mnist(config, measured, reason)), {
        "widths": list(config.widths), "errors": errors, "rates": rates
    })  # fmt: skip


def _claims_of_digits(config: Config, errors: dict[str, list[list[float]]]) -> tuple[Claim, ...]:
    random, learnt = np.array(errors["random"]), np.array(errors["learnt"])
    how = f"digits, 64-d-10 ReLU, {config.epochs} epochs, held-out error, random minus learnt, same seed"
    claims = []
    for name, i in (("fewest", 0), ("most", -1)):
        gain = mean_and_interval(random[i] - learnt[i])
        claims.append(
            Claim(
                f"gain at {name} features",
                f"At {config.widths[i]} features learnt ones err less than random ones.",
                ">=",
                0.0,
                "expected: features fitted to the task serve it better",
                gain[0],
                how,
                gain[1],
                config.seeds,
            )
        )
    return tuple(claims)


def _claims_of_mnist(config: Config, errors: dict[str, Any] | None, reason: str) -> tuple[Claim, ...]:
    linear = random = network = ahead = None
    random_interval = ahead_interval = None
    if errors is not None:
        linear, network = errors["linear"].mean(), errors["network"].mean()
        random, random_interval = mean_and_interval(errors["random"].mean(axis=1))
        ahead, ahead_interval = mean_and_interval(errors["random"].mean(axis=0) - errors["network"])
    source = "Boyd & Vandenberghe, 2018, sec. 14 (from memory)"
    how = "MNIST, 10,000 test images"
    return (
        Claim(
            "MNIST linear",
            "Least squares on 493 pixels errs on 13.9 % of MNIST's test images.",
            "=",
            0.139,
            source,
            linear and float(linear),
            f"{how}; half of the last digit given",
            tolerance=0.0005,
            explanation=reason,
            exact=True,
        ),
        Claim(
            "MNIST random",
            "With 5,000 random features more it errs on 2.6 %.",
            "=",
            0.026,
            source,
            random,
            f"{how}, mean of {config.draws} draws of the features; 0.3 points, the 95 % binomial error",
            random_interval,
            config.draws,
            tolerance=0.003,
            explanation=reason,
        ),
        Claim(
            "MNIST learnt",
            "A network of 800 features that it learns errs on at most 2 %.",
            "<=",
            0.02,
            "Simard, Steinkraus & Platt, 2003: 1.6 % after far more epochs (second hand: Srivastava et al., 2014)",
            network and float(network),
            f"{how}, 784-{config.hidden}-10, {config.mnist_epochs} epochs, one network",
            explanation=reason,
        ),
        Claim(
            "MNIST learnt ahead",
            "800 learnt features err less than 5,000 random ones.",
            ">=",
            0.0,
            "2.6 % against 1.6 %, both above",
            ahead,
            f"{how}; the mean difference an image, and its interval over images",
            ahead_interval,
            config.draws,
            explanation=reason,
        ),
    )


# ---- digits


def errors_on_digits(config: Config, key: jax.Array, width: int) -> dict[str, tuple[float, list[float]]]:
    """The best learning rate of each kind of features, and its test errors, one a seed. All runs are one program."""
    keys = jax.random.split(key, config.seeds)
    learns, rate, seed = map(np.array, zip(*product((0.0, 1.0), config.rates, range(config.seeds)), strict=True))
    losses, errors = (
        found.reshape(2, len(config.rates), config.seeds)
        for found in over_runs(Partial(run_on_digits, width, config.epochs), (keys[seed], rate, learns), digits())
    )
    best = np.argmin(losses.mean(axis=2), axis=1)
    return {name: (config.rates[best[i]], errors[i, best[i]].tolist()) for i, name in enumerate(("random", "learnt"))}


def gradient_where_it_learns(
    learns: jax.Array, params: Params, x: jax.Array, targets: jax.Array, activation: Activation, loss: Loss
) -> tuple[jax.Array, Params]:
    """`backprop`, times 0 or 1 in all layers but the last: with 0 what they compute stays random."""
    value, gradients = backprop(params, x, targets, activation, loss)
    return value, (*jax.tree.map(lambda g: learns * g, gradients[:-1]), gradients[-1])


def run_on_digits(
    width: int, epochs: int, key: jax.Array, rate: jax.Array, learns: jax.Array, x: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Train one network; its validation loss and test error."""
    of_split, of_rest, of_params = jax.random.split(key, 3)
    data, rest = split(of_split, x, labels)
    validation, test = split(of_rest, *rest, first=179)
    params = mlp_jax.init_params(of_params, (64, width, 10))
    result = mlp_jax.train(
        key,
        params,
        data,
        optimizer=optax.adam,
        hyperparameters={"learning_rate": rate},
        epochs=epochs,
        gradient=Partial(gradient_where_it_learns, learns),
    )
    return mlp_jax.evaluate(result.params, *validation).loss, error(result.params, test)


# ---- MNIST


def errors_on_mnist(config: Config, key: jax.Array, dataset: Dataset, progress: Progress) -> dict[str, np.ndarray]:
    """Which test images are wrong, 0 or 1: linear (10000,), random (draws, 10000), network (10000,)."""
    labels, test_labels = np.concatenate([dataset.train.labels, dataset.validation.labels]), dataset.test.labels
    raw = [as_drawn(dataset, part) for part in (dataset.train, dataset.validation, dataset.test)]
    x, x_test = np.concatenate(raw[:2]), raw[2]
    used = (np.rint(x) > 0).sum(axis=0) >= 600
    x, x_test = (np.asarray(a[:, used] / 255, np.float32) for a in (x, x_test))
    linear = least_squares_errors(x, labels, x_test, test_labels)
    random = []
    for draw in range(config.draws):
        progress(0.35 + 0.4 * draw / config.draws)
        signs = jax.random.rademacher(jax.random.fold_in(key, draw), (config.features, x.shape[1]))
        R = np.asarray(signs, np.float32)
        random.append(least_squares_errors(x, labels, x_test, test_labels, R))
    progress(0.75)
    network = network_errors(config, key, dataset)
    return {"linear": linear, "random": np.stack(random), "network": network}


def least_squares_errors(
    x: np.ndarray, labels: np.ndarray, x_test: np.ndarray, test_labels: np.ndarray, R: np.ndarray | None = None
) -> np.ndarray:
    """Which test images least squares gets wrong, with the features x, or x and max(0, R x)."""
    mean = _features(x[:2000], R).mean(axis=0)  # any shift near the mean will do: the constant undoes it
    size = len(mean) + 1
    gram, moments = np.zeros((size, size), np.float32, order="F"), np.zeros((size, 10))
    for part in np.array_split(np.arange(len(x)), 12):
        h = _with_constant(_features(x[part], R) - mean)
        gram = blas.ssyrk(1.0, h.T, beta=1.0, c=gram, overwrite_c=True)  # its upper triangle
        moments += h.T @ _signs(labels[part])
    gram = gram.astype(np.float64)
    gram[np.diag_indices(size)] += RIDGE * np.trace(gram) / size
    weights = solve(gram, moments, lower=False, assume_a="pos", overwrite_a=True)
    return np.argmax(_with_constant(_features(x_test, R) - mean) @ weights, axis=1) != test_labels


def _features(x: np.ndarray, R: np.ndarray | None) -> np.ndarray:
    return x if R is None else np.concatenate([x, np.maximum(x @ R.T, 0)], axis=1)


def _with_constant(h: np.ndarray) -> np.ndarray:
    return np.concatenate([h, np.ones((len(h), 1), np.float32)], axis=1)


def _signs(labels: np.ndarray) -> np.ndarray:
    return np.where(np.arange(10)[None, :] == labels[:, None], 1.0, -1.0)


def network_errors(config: Config, key: jax.Array, dataset: Dataset) -> np.ndarray:
    """Which test images a trained network gets wrong."""
    x, labels = map(np.concatenate, zip(dataset.train, dataset.validation, strict=True))
    batch = 128
    steps = config.mnist_epochs * -(-len(x) // batch)
    params = mlp_jax.init_params(key, (x.shape[1], config.hidden, 10))
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, steps))
    result = mlp_jax.train(key, params, (x, labels), optimizer=optimizer, epochs=config.mnist_epochs, batch_size=batch)
    return np.asarray(mlp_jax.predict(mlp_jax.forward(result.params, dataset.test.x))) != dataset.test.labels


# ---- picture


def picture(data: dict[str, Any]) -> Figure:
    """The error on digits over the number of features."""
    figure, axes = plt.subplots(figsize=(6.5, 4.0), layout="constrained")
    widths = data["widths"]
    for name, color in {"random": "tab:orange", "learnt": "tab:blue"}.items():
        found = [mean_and_interval(100 * np.array(errors, float)) for errors in data["errors"][name]]
        low, high = np.array([interval for _, interval in found]).T
        axes.plot(widths, [mean for mean, _ in found], "o-", color=color, label=f"{name} features")
        axes.fill_between(widths, low, high, color=color, alpha=0.2, lw=0)
    axes.set(xscale="log", yscale="log", xlabel="number of features d", ylabel="error, %")
    axes.set_xticks(widths, map(str, widths))
    axes.set_yticks((2, 5, 10, 20, 50), ("2", "5", "10", "20", "50"))
    axes.minorticks_off()
    axes.set_title("Digits: a linear layer on random features and on learnt ones")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
    return figure
