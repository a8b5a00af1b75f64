"""Digits trained with each known mistake in place of the right gradient: how visible it is in the loss curve.

A 64-32-32-10 tanh network from Glorot's initialisation, standardised pixels, 1,248 digits for training and 549 for the
test. Stochastic gradient descent with batches of 32 at a rate of 0.1, as homework has it. All trainings of a seed have
the same start and the same batches. Mistakes of the loss value only change no training and are left out, and so are
backward passes that are right for another network. A mistake whose shapes do not fit ends with an exception at the
first step.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments.frame.claims import at_least, at_most
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, mean, smallest
from experiments.why_gradient_checks.rules import GOOD, TRIED, draw, seeds_of
from mlp_jax import datasets
from mlp_jax.check.mistakes import (
    Gradients,
    Mistake,
    Problem,
    Settings,
    backward,
    broken,
    flat,
    forward_pass,
    network_of,
)

FORMULA = r"\theta \leftarrow \theta - \eta\,\hat g(\theta), \qquad \hat g \ne \nabla f"
NETWORK = network_of(Settings("tanh"))
ALMOST = 0.01  # of the test set: so far behind the right gradient, at most, is almost as well
NOTHING = 0.2  # of the test set: at most twice the accuracy of a guess


@dataclass(frozen=True)
class Config:
    """The backward pass is varied, all else is held fixed."""

    widths: tuple[int, ...] = (64, 32, 32, 10)
    batch: int = 32
    epochs: int = 20
    learning_rate: float = 0.1
    seeds: int = 3
    every: int = 1  # of so many mistakes one is tried


FULL = Config()
QUICK = Config(epochs=6, seeds=1, every=9)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, Any]:
    """Train with the right gradient, and with each mistake.

    Returns:
      The loss on the training set before every epoch and after the last, and the test accuracy: "right loss" (seeds,
      epochs + 1), "right accuracy" (seeds,), "loss" (mistakes, seeds, epochs + 1) and "accuracy" (mistakes, seeds),
      NaN for a mistake whose shapes do not fit.
    """
    dataset = datasets.load_digits()
    x, labels = (np.concatenate(parts) for parts in zip(dataset.train, dataset.validation, dataset.test, strict=True))
    x = x.astype(float)
    mistakes = [mistake for mistake in TRIED if _differs(mistake, config)][:: config.every]
    seeds = [int(seed) for seed in np.asarray(seeds_of(key, config.seeds))]
    right = [_trained(config, seed, x, labels, None) for seed in seeds]
    loss = np.full((len(mistakes), config.seeds, config.epochs + 1), np.nan, np.float32)
    accuracy = np.full((len(mistakes), config.seeds), np.nan)
    for m, mistake in enumerate(mistakes):
        progress(m / len(mistakes))
        for s, seed in enumerate(seeds):
            loss[m, s], accuracy[m, s] = _trained(config, seed, x, labels, mistake)
    return {
        "code": [mistake.code for mistake in mistakes],
        "mistake": [mistake.name for mistake in mistakes],
        "right loss": [curve for curve, _ in right],
        "right accuracy": [share for _, share in right],
        "loss": loss,
        "accuracy": accuracy,
    }


def behind(n: Numbers) -> np.ndarray:
    """Return how far each mistake's test accuracy is behind the right gradient's (mistakes that fit, seeds)."""
    fits = np.isfinite(n["accuracy"][:, 0])
    return n["right accuracy"] - n["accuracy"][fits]


HOW = "share of the mistakes that fit, for each seed"


@at_least(0.95, "With the right gradient the network learns.", source="our other trainings on digits", how="accuracy")
def right_learns(n: Numbers) -> Statistic:
    return smallest(n["right accuracy"])


@at_least(
    0.25,
    "A quarter of the known mistakes or more learn almost as well: the test accuracy is at most 1 point lower.",
    source="ours: a lower bound, rounded down",
    how=HOW,
)
def almost_as_well(n: Numbers) -> Statistic:
    return mean((behind(n) <= ALMOST).mean(axis=0))


@at_least(
    0.1,
    "A tenth or more learn nothing: the test accuracy is at most twice that of a guess.",
    source="ours: a lower bound, rounded down",
    how=HOW,
)
def learn_nothing(n: Numbers) -> Statistic:
    return mean((behind(n) >= n["right accuracy"] - NOTHING).mean(axis=0))


@at_least(
    0.5,
    "With half of them or more the loss falls to less than half: a falling curve is no proof.",
    source="ours: a lower bound, rounded down",
    how=HOW,
)
def loss_falls(n: Numbers) -> Statistic:
    loss = n["loss"][np.isfinite(n["accuracy"][:, 0])]
    return mean((loss[..., -1] < loss[..., 0] / 2).mean(axis=0))


@at_most(
    ALMOST,
    "Mistakes in the gradient of the biases cost less than 1 point of test accuracy, on average.",
    source="ours: an upper bound",
    how="mean over the mistakes of the code bias_gradient",
)
def biases_cost(n: Numbers) -> Statistic:
    fits = np.isfinite(n["accuracy"][:, 0])
    return mean(behind(n)[n["code"][fits] == "bias_gradient"].mean(axis=0))


def picture(n: Numbers) -> Figure:
    """Draw the loss curve of every mistake, and their test accuracies in order."""
    figure, (left, right) = panels(1, 2, figsize=(8.5, 4.0), width_ratios=(3, 2))
    fits = np.isfinite(n["accuracy"][:, 0])
    accuracy = np.median(n["accuracy"][fits], axis=1)
    curves = np.median(n["loss"][fits], axis=1)
    best = np.median(n["right accuracy"])
    groups = {
        "almost as well": ("tab:orange", accuracy >= best - ALMOST),
        "worse": ("tab:blue", (accuracy < best - ALMOST) & (accuracy > NOTHING)),
        "nothing": ("tab:red", accuracy <= NOTHING),
    }
    rank = np.argsort(np.argsort(-accuracy, kind="stable"))
    for words, (color, members) in groups.items():
        for curve in curves[members]:
            left.plot(curve, color=color, lw=0.8, alpha=0.6)
        right.plot(rank[members] + 1, 100 * accuracy[members], ".", color=color, label=f"{members.sum()} learn {words}")
    left.plot(np.median(n["right loss"], axis=0), color="black", lw=2)
    left.set(xlabel="epoch", ylabel="training loss, in nats", yscale="log", ylim=(1e-3, 1e2))
    left.set_title("A curve for each mistake (black: the right gradient)")
    right.axhline(100 * best, color="black", lw=1)
    right.set(xlabel="mistakes, in order", ylabel="test accuracy, %", ylim=(0, 102))
    right.legend(loc=(0.02, 0.25), fontsize=8)
    return figure


def _differs(mistake: Mistake, config: Config) -> bool:
    """Return whether this is a mistake for this network, or its shapes do not fit."""
    s = forward_pass(draw(config.widths, config.batch, 0, GOOD), NETWORK)
    answer = broken(mistake, s)
    return answer is None or not np.allclose(flat(answer[1]), flat(backward(s)[1]), rtol=1e-9, atol=1e-12)


def _trained(
    config: Config, seed: int, x: np.ndarray, labels: np.ndarray, mistake: Mistake | None
) -> tuple[np.ndarray, float]:
    """Return the loss before every epoch and after the last, and the test accuracy."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    train, test = order[:1248], order[1248:]
    params: Gradients = [
        (rng.normal(scale=np.sqrt(2 / (a + b)), size=(a, b)), np.zeros(b))
        for a, b in zip(config.widths[:-1], config.widths[1:], strict=True)
    ]
    curve = np.full(config.epochs + 1, np.nan)
    with np.errstate(all="ignore"):  # wrong gradients diverge
        for epoch in range(config.epochs):
            curve[epoch] = _loss(params, x[train], labels[train])
            for batch in rng.permutation(train).reshape(-1, config.batch):
                s = forward_pass(Problem("training", params, x[batch], labels[batch]), NETWORK)
                answer = backward(s) if mistake is None else broken(mistake, s)
                if answer is None:
                    return curve, np.nan
                params = [
                    (W - config.learning_rate * dW, b - config.learning_rate * db)
                    for (W, b), (dW, db) in zip(params, answer[1], strict=True)
                ]
        curve[-1] = _loss(params, x[train], labels[train])
        z = forward_pass(Problem("test", params, x[test], labels[test]), NETWORK).z[-1]
    return curve, float(np.mean(np.argmax(z, axis=1) == labels[test]))


def _loss(params: Gradients, x: np.ndarray, labels: np.ndarray) -> float:
    s = forward_pass(Problem("loss", params, x, labels), NETWORK)
    return s.loss.loss(s)
