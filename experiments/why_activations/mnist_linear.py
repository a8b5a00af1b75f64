"""What a linear classifier can do on MNIST, and that a deep network without activations ends there.

Nielsen's darkness (2015): the class whose mean total intensity, over the first 50,000 training images, is nearest.
Least squares (Boyd & Vandenberghe, 2018): the 493 pixels that are not 0 in at least 600 of the 60,000 training images,
divided by 255, an intercept, and targets +1 and -1. Networks of identity activations with 1, 2 and 3 weight layers are
trained to the same minimum, in float64 by full-batch L-BFGS. They see the factors of X = Q R: |X W - Y|^2 is
|R W - Q^T Y|^2 and a constant, for any W, so 494 rows stand for 60,000. A quick run takes digits for MNIST.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.protocol import Claim, Finding, Progress
from experiments.why_activations.collapse import with_ones
from mlp_jax import Activation, Layer, Loss, Params, backprop, datasets, squared_error
from mlp_jax.activations import identity
from mlp_jax.datasets import Examples

FORMULA = r"|X W_1 \cdots W_L - Y|^2 = |R W_1 \cdots W_L - Q^\top Y|^2 + |Y - Q Q^\top Y|^2 \ge \min_W |X W - Y|^2"
CAPTION = (
    "The squared error of networks without activations above the exact minimum of one matrix, as training goes on: "
    "more layers reach the same minimum and no other."
)
BOOK = "Boyd & Vandenberghe (2018), ch. 14"


@dataclass(frozen=True)
class Config:
    """The number of weight layers is varied, the rest is held fixed."""

    layers: tuple[int, ...] = (1, 2, 3)
    hidden: int = 32
    steps: int = 3000  # of L-BFGS
    mnist: bool = True


FULL = Config()
QUICK = Config(steps=1000, layers=(2,), mnist=False)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Count errors of least squares, and train linear networks to it."""
    dataset, reason = tasks.mnist_or_reason(config.mnist)
    train, test = raw_examples(dataset or datasets.load_digits())
    kept = np.sum(train.x != 0, axis=0) >= len(train.x) / 100
    X, X_test = (with_ones(part.x[:, kept] / train.x.max()) for part in (train, test))
    Y = 2 * np.eye(10)[train.labels] - 1
    Q, R = np.linalg.qr(X)
    targets = Q.T @ Y
    best = np.linalg.solve(R, targets)
    least = float(np.sum((X @ best - Y) ** 2))
    progress(0.2)
    runs: dict[int, dict[str, Any]] = {}
    for i, layers in enumerate(config.layers):
        weight, losses = train_linear(key, R, targets, layers, config)
        gap = float(np.sum((R @ (weight - best)) ** 2)) / least
        runs[layers] = {
            "gap": gap,
            "losses": losses * len(R) / least,
            "train": wrong(X @ weight, train.labels),
            "test": wrong(X_test @ weight, test.labels),
        }
        progress(0.2 + 0.8 * (i + 1) / len(config.layers))
    exact = wrong(X @ best, train.labels), wrong(X_test @ best, test.labels)
    published = _published_claims(train, test, X @ best, X_test @ best, int(kept.sum()), reason)
    claims = (*published, *_network_claims(config, runs, exact, dataset is not None))
    curves = {str(layers): _thinned(run["losses"]) for layers, run in runs.items()}
    return Finding(claims, {"curves": curves, "data": "MNIST" if dataset else "digits"})


def raw_examples(dataset: tasks.Dataset) -> tuple[Examples, Examples]:
    """All training examples, the validation set among them, and the test set, as they were read: whole numbers."""
    parts = [dataset.train, dataset.validation, dataset.test]
    x = [np.rint(tasks.as_drawn(dataset, part)) for part in parts]
    labels = [part.labels for part in parts]
    return Examples(np.concatenate(x[:2]), np.concatenate(labels[:2])), Examples(x[2], labels[2])


def wrong(scores: np.ndarray, labels: np.ndarray) -> int:
    """How many labels are not where the score is largest."""
    return int(np.sum(np.argmax(scores, axis=1) != labels))


def counts_of_zero(scores: np.ndarray, labels: np.ndarray) -> list[int]:
    """Of digit 0 against the rest: true positives, false negatives, false positives."""
    found, is_zero = scores[:, 0] >= 0, labels == 0
    return [int(np.sum(found & is_zero)), int(np.sum(~found & is_zero)), int(np.sum(found & ~is_zero))]


def right_by_darkness(train: Examples, test: Examples) -> int:
    """How many are right when the class with the nearest mean darkness is taken."""
    darkness = train.x.sum(axis=1)
    means = np.array([darkness[train.labels == c].mean() for c in range(10)])
    nearest = np.argmin(np.abs(test.x.sum(axis=1)[:, None] - means[None, :]), axis=1)
    return int(np.sum(nearest == test.labels))


def train_linear(
    key: jax.Array, R: np.ndarray, targets: np.ndarray, layers: int, config: Config
) -> tuple[np.ndarray, np.ndarray]:
    """The product of the trained weights, and the loss at every step. Biases stay 0: R has a column for them."""
    with jax.enable_x64(True):
        sizes = (R.shape[1], *(layers - 1) * (config.hidden,), targets.shape[1])
        params = mlp_jax.init_params(key, sizes, identity)
        result = mlp_jax.train(
            key,
            params,
            (R, targets),
            optimizer=optax.lbfgs(memory_size=20),
            epochs=config.steps,
            batch_size=len(R),
            activation=identity,
            loss=squared_error,
            gradient=gradient_without_biases,
        )
        weight = np.linalg.multi_dot([np.eye(len(R)), *(np.asarray(layer.weight) for layer in result.params)])
        return weight, np.asarray(result.history.train_loss)


def gradient_without_biases(params: Params, x: Any, targets: Any, activation: Activation, loss: Loss) -> Any:
    """Backprop's, with 0 for the biases."""
    value, gradients = backprop(params, x, targets, activation, loss)
    return value, tuple(Layer(layer.weight, jnp.zeros_like(layer.bias)) for layer in gradients)


def _published_claims(
    train: Examples, test: Examples, scores: np.ndarray, test_scores: np.ndarray, pixels: int, missing: str
) -> list[Claim]:
    """The numbers of the books, to the image."""
    claim = partial(_image_claim, missing=missing)
    zero, zero_test = counts_of_zero(scores, train.labels), counts_of_zero(test_scores, test.labels)
    first = Examples(train.x[:50_000], train.labels[:50_000])
    images, recounted = (
        "counted, to the image",
        f"{BOOK}: the error rates; counts by a second program of ours",
    )
    names = ("true positives", "false negatives", "false positives")
    return [
        claim("darkness", "By its darkness alone 2,225 of 10,000 test digits are told right.", 2225,
              "Nielsen (2015), ch. 1", right_by_darkness(first, test), images),
        claim("pixels", "493 pixels are not 0 in at least 600 of the 60,000 training images.", 493, BOOK, pixels,
              images),
        claim("least squares train", "Ten linear functions by least squares are wrong on 14.5 % of the training set.",
              0.145, BOOK, wrong(scores, train.labels) / len(train.x),
              "a unit of the book's last digit: 8,668 wrong are 14.447 %", 0.001),
        claim("least squares train count", "They are wrong on 8,668 of the 60,000.", 8668, recounted,
              wrong(scores, train.labels), images),
        claim("least squares test count", "They are wrong on 1,393 of the 10,000 test digits.", 1393, recounted,
              wrong(test_scores, test.labels), images),
        claim("least squares test", "They are wrong on 13.9 % of the test set.", 0.139, BOOK,
              wrong(test_scores, test.labels) / len(test.x), "rounded as in the book", 0.0005),
        *(claim(f"zero {name}", f"Digit 0 against the rest, training set: {n:,} {name}.", n, BOOK, found, images)
          for name, n, found in zip(names, (5158, 765, 167), zero, strict=True)),
        *(claim(f"zero test {name}", f"Digit 0 against the rest, test set: {n:,} {name}.", n, recounted, found, images)
          for name, n, found in zip(names, (864, 116, 42), zero_test, strict=True)),
    ]  # fmt: skip


def _image_claim(
    name: str, statement: str, expected: float, source: str, measured: float, reason: str, tolerance: float = 0.0,
    missing: str = "",
) -> Claim:  # fmt: skip
    return Claim(
        name, statement, "=", expected, source, None if missing else measured, reason, tolerance=tolerance,
        explanation=missing, exact=True,
    )  # fmt: skip


def _network_claims(config: Config, runs: dict[int, Any], exact: tuple[int, int], mnist: bool) -> list[Claim]:
    data = "MNIST" if mnist else "digits"
    how = f"{data}, one network, {config.steps:,} steps of L-BFGS"
    claims = []
    for layers, run in runs.items():
        words = f"A network of {layers} weight layer{'s' * (layers > 1)} without activations"
        claims.append(
            Claim(f"gap of {layers}", f"{words} ends at the least squares of one matrix.", "<=", 1e-6,
                  "derived: a product of matrices is a matrix", run["gap"],
                  f"squared error above the minimum, as a share of it; {how}")
        )  # fmt: skip
        claims.append(
            Claim(f"errors of {layers}", f"{words} makes as many test errors as one matrix.", "=", exact[1],
                  "least squares, computed", run["test"], f"test images, 5 are allowed; {how}", tolerance=5)
        )  # fmt: skip
    return claims


def _thinned(losses: np.ndarray) -> dict[str, list[float]]:
    """About 150 steps, evenly spaced in the logarithm."""
    steps = np.unique(np.round(np.geomspace(1, len(losses), 150)).astype(int))
    return {"steps": steps.tolist(), "gap": losses[steps - 1].tolist()}


def picture(data: dict[str, Any]) -> Figure:
    """The gap to the minimum over steps."""
    figure, axes = plt.subplots(figsize=(6.5, 4.0), layout="constrained")
    for (layers, curve), color in zip(data["curves"].items(), ("#0072b2", "#009e73", "#d55e00"), strict=False):
        label = f"{layers} weight layer{'s' * (layers != '1')}"
        axes.plot(curve["steps"], curve["gap"], color=color, label=label)
    axes.set(xscale="log", yscale="log", xlabel="steps of L-BFGS", ylabel="squared error above the minimum, as a share")
    axes.set_title(f"Networks without activations on {data['data']}: one minimum for all")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
    return figure
