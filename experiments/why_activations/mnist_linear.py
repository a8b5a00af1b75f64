"""What a linear classifier can do on MNIST, and that a deep network without activations ends there.

Nielsen's darkness (2015): the class whose mean total intensity, over the first 50,000 training images, is nearest.
Least squares (Boyd & Vandenberghe, 2018): the 493 pixels that are not 0 in at least 600 of the 60,000 training images,
divided by 255, an intercept, and targets +1 and -1. Networks of identity activations with 1, 2 and 3 weight layers are
trained to the same minimum, in float64 by full-batch L-BFGS. They see the factors of X = Q R: |X W - Y|^2 is
|R W - Q^T Y|^2 and a constant, for any W, so 494 rows stand for 60,000. Without MNIST, as in a quick
run, they are trained on digits.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.frame.claims import at_most, equals
from experiments.frame.numbers import NotMeasured, Numbers, Progress
from experiments.frame.plots import panels
from experiments.why_activations.collapse import with_ones
from experiments.why_activations.shared import starts
from mlp_jax import Activation, Layer, Loss, Params, backprop, datasets, squared_error
from mlp_jax.activations import identity
from mlp_jax.datasets import Examples

FORMULA = r"|X W_1 \cdots W_L - Y|^2 = |R W_1 \cdots W_L - Q^\top Y|^2 + |Y - Q Q^\top Y|^2 \ge \min_W |X W - Y|^2"
BOOK = "Boyd & Vandenberghe (2018), ch. 14"
COUNTS = ("true positives", "false negatives", "false positives")


@dataclass(frozen=True)
class Config:
    """The number of weight layers is varied, the rest is held fixed."""

    layers: tuple[int, ...] = (1, 2, 3)
    hidden: int = 32
    steps: int = 3000  # of L-BFGS
    mnist: bool = True


FULL = Config()
QUICK = Config(steps=1000, layers=(2,), mnist=False)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray | NotMeasured]:
    """Count errors of least squares, and train linear networks to it.

    Returns:
      On MNIST only: how many test images are right by "darkness", the number of "pixels", how many images are "wrong"
      by least squares (training and test set), and the counts of "zero" against the rest (sets, counts).
      Of the networks: the "gap" of the squared error to its minimum, as a share of it, at the end (layers,), the
      "losses" over the minimum at some "step" (layers, steps), and test "errors" (layers,), also of "one matrix".
    """
    dataset, reason = tasks.mnist_or_reason(config.mnist)
    train, test = raw_examples(dataset or datasets.load_digits())
    kept = np.sum(train.x != 0, axis=0) >= len(train.x) / 100
    X, X_test = (with_ones(part.x[:, kept] / train.x.max()) for part in (train, test))
    Y = 2 * np.eye(10)[train.labels] - 1
    Q, R = np.linalg.qr(X)
    targets = Q.T @ Y
    best = np.linalg.solve(R, targets)
    least = np.sum((X @ best - Y) ** 2)
    wrongs = np.array([wrong(X @ best, train.labels), wrong(X_test @ best, test.labels)])
    zeros = [counts_of_zero(X @ best, train.labels), counts_of_zero(X_test @ best, test.labels)]
    published: dict[str, np.ndarray | NotMeasured] = {
        "darkness": np.array(right_by_darkness(Examples(train.x[:50_000], train.labels[:50_000]), test)),
        "pixels": np.sum(kept),
        "wrong": wrongs,
        "zero": np.array(zeros),
    }
    if dataset is None:
        published = dict.fromkeys(published, NotMeasured(reason))
    step = np.unique(np.round(np.geomspace(1, config.steps, 150)).astype(int))
    gaps, losses, errors = [], [], []
    for i, layers in enumerate(config.layers):
        progress(0.2 + 0.8 * i / len(config.layers))
        weight, loss = train_linear(tasks.generator(key), R, targets, layers, config)
        gaps.append(np.sum((R @ (weight - best)) ** 2) / least)
        losses.append(loss[step - 1] * len(R) / least)
        errors.append(wrong(X_test @ weight, test.labels))
    return published | {
        "layers": np.array(config.layers),
        "step": step,
        "gap": np.array(gaps),
        "losses": np.array(losses),
        "errors": np.array(errors),
        "one matrix": wrongs[1],
    }


def raw_examples(dataset: tasks.Dataset) -> tuple[Examples, Examples]:
    """Return all training examples, with the validation set, and the test set, as they were read: whole numbers."""
    parts = [dataset.train, dataset.validation, dataset.test]
    x = [np.rint(tasks.as_drawn(dataset, part)) for part in parts]
    labels = [part.labels for part in parts]
    return Examples(np.concatenate(x[:2]), np.concatenate(labels[:2])), Examples(x[2], labels[2])


def wrong(scores: np.ndarray, labels: np.ndarray) -> int:
    """Count the labels that are not where the score is largest."""
    return int(np.sum(np.argmax(scores, axis=1) != labels))


def counts_of_zero(scores: np.ndarray, labels: np.ndarray) -> list[int]:
    """Count the true positives, false negatives and false positives of digit 0 against the rest."""
    found, is_zero = scores[:, 0] >= 0, labels == 0
    return [int(np.sum(found & is_zero)), int(np.sum(~found & is_zero)), int(np.sum(found & ~is_zero))]


def right_by_darkness(train: Examples, test: Examples) -> int:
    """Count the images that are right if the class with the nearest mean darkness is taken."""
    darkness = train.x.sum(axis=1)
    means = np.array([darkness[train.labels == c].mean() for c in range(10)])
    nearest = np.argmin(np.abs(test.x.sum(axis=1)[:, None] - means[None, :]), axis=1)
    return int(np.sum(nearest == test.labels))


def train_linear(
    rng: np.random.Generator, R: np.ndarray, targets: np.ndarray, layers: int, config: Config
) -> tuple[np.ndarray, np.ndarray]:
    """Return the product of the trained weights, and the loss at every step. Biases stay 0: R has a column for them."""
    sizes = (R.shape[1], *(layers - 1) * (config.hidden,), targets.shape[1])
    with jax.enable_x64(True):
        result = mlp_jax.train(
            jax.random.key(0),  # full batches: nothing is random
            jax.tree.map(lambda a: a[0], starts(rng, 1, sizes, "identity")),
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
    """Return the gradient of backprop, with 0 for the biases."""
    value, gradients = backprop(params, x, targets, activation, loss)
    return value, tuple(Layer(layer.weight, jnp.zeros_like(layer.bias)) for layer in gradients)


to_the_image = partial(equals, within=0, how="counted, to the image", must=True)
recounted = partial(to_the_image, source=f"{BOOK}: the error rates; counts by a second program of ours")


@to_the_image(2225, "By its darkness alone 2,225 of 10,000 test digits are told right.", source="Nielsen (2015), ch. 1")
def darkness(n: Numbers) -> float:
    return float(n["darkness"])


@to_the_image(493, "493 pixels are not 0 in at least 600 of the 60,000 training images.", source=BOOK)
def pixels(n: Numbers) -> float:
    return float(n["pixels"])


@equals(
    0.145,
    "Ten linear functions by least squares are wrong on 14.5 % of the training set.",
    within=0.001,
    source=BOOK,
    how="a unit of the book's last digit: 8,668 wrong are 14.447 %",
    must=True,
)
def least_squares_train(n: Numbers) -> float:
    return float(n["wrong"][0] / 60_000)


@recounted(8668, "They are wrong on 8,668 of the 60,000.")
def least_squares_train_count(n: Numbers) -> float:
    return float(n["wrong"][0])


@recounted(1393, "They are wrong on 1,393 of the 10,000 test digits.")
def least_squares_test_count(n: Numbers) -> float:
    return float(n["wrong"][1])


@equals(
    0.139,
    "They are wrong on 13.9 % of the test set.",
    within=0.0005,
    source=BOOK,
    how="rounded as in the book",
    must=True,
)
def least_squares_test(n: Numbers) -> float:
    return float(n["wrong"][1] / 10_000)


@to_the_image(
    lambda n, count: (5158, 765, 167)[COUNTS.index(count)],
    "Digit 0 against the rest, training set: {expected:,.0f} {count}.",
    count=COUNTS,
    source=BOOK,
)
def zero(n: Numbers, count: str) -> float:
    return float(n["zero"][0, COUNTS.index(count)])


@recounted(
    lambda n, count: (864, 116, 42)[COUNTS.index(count)],
    "Digit 0 against the rest, test set: {expected:,.0f} {count}.",
    count=COUNTS,
)
def zero_test(n: Numbers, count: str) -> float:
    return float(n["zero"][1, COUNTS.index(count)])


DEPTHS = (1, 2, 3)
TRAINED = "; one network on MNIST, or on digits without MNIST, {n.config.steps:,} steps of L-BFGS"


@at_most(
    1e-6,
    "Without activations a network of depth {layers} ends at the least squares of one matrix.",
    layers=DEPTHS,
    source="derived: a product of matrices is a matrix",
    how="squared error above the minimum, as a share of it" + TRAINED,
)
def gap_of(n: Numbers, layers: int) -> float:
    return float(n["gap"][n.at(layers=layers)])


@equals(
    lambda n, layers: n["one matrix"],
    "Without activations a network of depth {layers} makes as many test errors as one matrix.",
    within=5,
    layers=DEPTHS,
    source="least squares, computed",
    how="test images, 5 are allowed" + TRAINED,
)
def errors_of(n: Numbers, layers: int) -> float:
    return float(n["errors"][n.at(layers=layers)])


def picture(n: Numbers) -> Figure:
    """Draw the gap to the minimum over steps."""
    figure, axes = panels()
    for layers, losses, color in zip(n["layers"], n["losses"], ("#0072b2", "#009e73", "#d55e00"), strict=False):
        axes.plot(n["step"], losses, color=color, label=f"{layers} weight layer{'s' if layers > 1 else ''}")
    axes.set(xscale="log", yscale="log", xlabel="steps of L-BFGS", ylabel="squared error above the minimum, as a share")
    data = "digits" if "wrong" in n.missing else "MNIST"
    axes.set_title(f"Networks without activations on {data}: one minimum for all")
    axes.legend()
    return figure
