r"""Deeper is harder to optimise: accuracy on digits by depth, for sigmoid and ReLU networks and with skip connections.

Networks of 1 to 30 hidden layers of one width. Sigmoid with Glorot's initialisation, ReLU with He's, and the first
again with skip connections around all hidden layers of equal width (He et al., 2016), nothing else changed. Adam with
cosine decay to 0, the same number of epochs over whole minibatches in a fixed order; every kind and depth at its own
learning rate, the one with the lowest mean validation loss. Equal layers are stacked and scanned over, and starts are
drawn before, so that a deep network compiles as fast as a shallow one.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.frame.claims import at_least, at_most
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, difference
from experiments.runs_at_once import at_best_rate
from experiments.why_depth.trainings import adam_to_zero
from mlp_jax import Activation, Layer, Loss, datasets
from mlp_jax.network import linear

FORMULA = r"h_l = \varphi(h_{l-1} W_l + b_l), \qquad h_l = h_{l-1} + \varphi(h_{l-1} W_l + b_l)"
KINDS: dict[str, tuple[Activation, float]] = {  # activation, and how much of h_{l-1} a skip connection adds
    "sigmoid": (mlp_jax.sigmoid, 0.0),
    "ReLU": (mlp_jax.relu, 0.0),
    "sigmoid with skips": (mlp_jax.sigmoid, 1.0),
}


@dataclass(frozen=True)
class Config:
    """Kind and depth are varied, the rest is held fixed."""

    kinds: tuple[str, ...] = tuple(KINDS)
    depths: tuple[int, ...] = (1, 2, 4, 8, 16, 30)  # hidden layers
    width: int = 32
    seeds: int = 10
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2)
    epochs: int = 30
    batch: int = 64


FULL = Config()
QUICK = Config(kinds=("sigmoid",), depths=(1, 30), seeds=3, rates=(3e-3,), epochs=6)


class StackedParams(NamedTuple):
    """The first layer, all layers between hidden ones as one `Layer` with a leading axis, and the last."""

    first: Layer
    hidden: Layer
    last: Layer


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Train every kind at every depth and rate, and return accuracies (kinds, depths, seeds) at the best rates."""
    digits = datasets.load_digits()
    whole = len(digits.train.x) // config.batch * config.batch
    train = digits.train.x[:whole], digits.train.labels[:whole]
    splits = tuple(tuple(map(np.asarray, split)) for split in (train, digits.validation, digits.test))
    sizes = (train[0].shape[1], config.width, len(digits.classes))
    tuned: dict[tuple[str, int], Any] = {}
    cells = [(kind, depth) for depth in config.depths for kind in config.kinds]
    for i, (kind, depth) in enumerate(cells):
        progress(i / len(cells))
        activation, skip = KINDS[kind]
        if depth == 1 and skip:  # no layer to skip: the network without, trained already
            tuned[kind, depth] = tuned["sigmoid", depth]
            continue
        run = partial(_run, config=config, activation=activation, skip=skip)
        rng = tasks.generator(jax.random.fold_in(key, depth))  # of all kinds alike
        starts = _starts(rng, config.seeds, sizes, depth, kind)
        tuned[kind, depth] = at_best_rate(
            run, np.arange(config.seeds), config.rates, lambda outcome: outcome["validation loss"], (starts, splits)
        )

    def by_kind(get: Any) -> np.ndarray:
        return np.array([[get(tuned[kind, depth]) for depth in config.depths] for kind in config.kinds])

    return {
        "kind": np.array(config.kinds),
        "depth": np.array(config.depths),
        "rate": by_kind(lambda one: one.rate),
        "test": by_kind(lambda one: one.results["test"]),
        "train": by_kind(lambda one: one.results["train"]),
    }


def lost(n: Numbers, kind: str, split: str) -> Statistic:
    """Return the accuracy with one hidden layer minus that with the most, a pair for each seed."""
    accuracy = n[split][n.at(kind=kind)].astype(float)
    return difference(accuracy[0], accuracy[-1])


HOW = (
    "accuracy with 1 hidden layer minus accuracy with 30, paired by seed; width {n.config.width}, Adam, "
    "{n.config.epochs} epochs, rate by validation loss for each kind and depth"
)
GLOROT = "Glorot & Bengio (2010): deep sigmoid networks stay where they start; expected: to near chance, 0.1"
HE = "He et al. (2015): 30 layers train with their initialisation; expected: a few points at most"


@at_least(0.5, "Sigmoid networks of 30 layers lose most of their test accuracy.", source=GLOROT, how=HOW)
def sigmoid_loses(n: Numbers) -> Statistic:
    return lost(n, "sigmoid", "test")


@at_least(0.5, "They lose it on the training data too: not overfitted, but not trained.", source=GLOROT, how=HOW)
def sigmoid_loses_in_training(n: Numbers) -> Statistic:
    return lost(n, "sigmoid", "train")


@at_most(0.05, "ReLU networks of 30 layers with He's initialisation keep theirs.", source=HE, how=HOW)
def ReLU_loses(n: Numbers) -> Statistic:
    return lost(n, "ReLU", "test")


@at_most(0.05, "On the training data too: they are trained.", source=HE, how=HOW)
def ReLU_loses_in_training(n: Numbers) -> Statistic:
    return lost(n, "ReLU", "train")


@at_most(
    0.05,
    "With skip connections the sigmoid networks of 30 layers keep theirs.",
    source="He et al. (2016); expected: a few points at most",
    how=HOW,
)
def skips_lose(n: Numbers) -> Statistic:
    return lost(n, "sigmoid with skips", "test")


def picture(n: Numbers) -> Figure:
    """Draw the test accuracy over the depth."""
    figure, axes = panels(figsize=(6.5, 4))
    marks = {"sigmoid": ("#d55e00", "s"), "ReLU": ("#0072b2", "o"), "sigmoid with skips": ("#009e73", "^")}
    for kind, accuracy in zip(n["kind"], 100 * n["test"], strict=True):
        color, marker = marks[kind]
        axes.plot(n["depth"], accuracy.mean(axis=1), marker=marker, ms=5, color=color, label=kind)
        axes.fill_between(n["depth"], accuracy.min(axis=1), accuracy.max(axis=1), color=color, alpha=0.2, lw=0)
    axes.axhline(10, color="0.6", ls=":", lw=1)
    axes.annotate("chance", (n["depth"][0], 10), va="bottom", fontsize=9, color="0.4")
    axes.set(xscale="log", xlabel="hidden layers", ylabel="test accuracy (%)", ylim=(0, 103))
    axes.set_xticks(n["depth"], map(str, n["depth"]))
    axes.minorticks_off()
    axes.set_title(f"Digits, mean and range of {n.config.seeds} seeds")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _run(
    seed: Any, rate: Any, starts: StackedParams, splits: Any, config: Config, activation: Activation, skip: float
) -> dict[str, jax.Array]:
    """Train one network, and return its validation loss and its accuracies."""
    train, validation, test = splits
    network = Partial(forward, skip)
    params = mlp_jax.train(
        jax.random.key(0),  # no shuffling: nothing is random
        jax.tree.map(lambda a: a[seed], starts),
        train,
        optimizer=partial(adam_to_zero, config.epochs * len(train[0]) // config.batch),
        epochs=config.epochs,
        batch_size=config.batch,
        shuffle=False,
        activation=activation,
        gradient=Partial(gradient, skip),
        forward=network,
        hyperparameters={"learning_rate": rate},
    ).params
    logits = network(params, jnp.concatenate([x for x, _ in splits]), activation)  # at once: it compiles faster
    on_train, on_validation, on_test = jnp.split(logits, np.cumsum([len(train[0]), len(validation[0])]))
    return {
        "validation loss": mlp_jax.cross_entropy(on_validation, validation[1]),
        "train": jnp.mean(mlp_jax.predict(on_train) == train[1]),
        "test": jnp.mean(mlp_jax.predict(on_test) == test[1]),
    }


def _starts(rng: np.random.Generator, seeds: int, sizes: tuple[int, int, int], depth: int, kind: str) -> StackedParams:
    """Return the starts of all seeds, on a leading axis: normal weights of He's or Glorot's variance, biases of 0."""

    def layer(a: int, b: int, *stack: int) -> Layer:
        variance = 2 / a if kind == "ReLU" else 2 / (a + b)
        weight = np.float32(rng.standard_normal((seeds, *stack, a, b)) * variance**0.5)
        return Layer(weight, np.zeros((seeds, *stack, b), np.float32))  # type: ignore[arg-type]  # it compiles nothing

    inputs, width, outputs = sizes
    return StackedParams(layer(inputs, width), layer(width, width, depth - 1), layer(width, outputs))


def forward(skip: Any, params: StackedParams, x: jax.Array, activation: Activation) -> jax.Array:
    """Return the logits, with h_l = skip h_{l-1} + phi(h_{l-1} W_l + b_l) for l > 1."""

    def layer(h: jax.Array, of_layer: Layer) -> tuple[jax.Array, None]:
        return skip * h + activation.value(linear(of_layer, h)), None

    h, _ = jax.lax.scan(layer, activation.value(linear(params.first, x)), params.hidden)
    return linear(params.last, h)


def gradient(
    skip: Any, params: StackedParams, x: jax.Array, targets: jax.Array, activation: Activation, loss: Loss
) -> tuple[jax.Array, StackedParams]:
    """Return the loss and its gradient, by autodiff."""
    return jax.value_and_grad(lambda params: loss(forward(skip, params, x, activation), targets))(params)
