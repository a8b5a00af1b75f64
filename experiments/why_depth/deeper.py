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
import matplotlib.pyplot as plt
import numpy as np
from jax.tree_util import Partial
from matplotlib.figure import Figure

import mlp_jax
from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import at_best_rate
from experiments.why_depth.trainings import adam_to_zero
from mlp_jax import Activation, Layer, Loss, datasets
from mlp_jax.network import linear

FORMULA = r"h_l = \varphi(h_{l-1} W_l + b_l), \qquad h_l = h_{l-1} + \varphi(h_{l-1} W_l + b_l)"
CAPTION = (
    "Test accuracy on digits by depth: sigmoid networks stop learning; ReLU, or skip connections, keep them going."
)
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
QUICK = Config(kinds=("sigmoid", "sigmoid with skips"), depths=(1, 30), seeds=4, rates=(3e-3,), epochs=20)


class StackedParams(NamedTuple):
    """The first layer, all layers between hidden ones as one `Layer` with a leading axis, and the last."""

    first: Layer
    hidden: Layer
    last: Layer


class Outcome(NamedTuple):
    """What a run gives."""

    validation_loss: Any
    train_accuracy: Any
    test_accuracy: Any


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Train every kind at every depth and rate."""
    digits = datasets.load_digits()
    whole = len(digits.train.x) // config.batch * config.batch
    train = digits.train.x[:whole], digits.train.labels[:whole]
    splits = tuple(tuple(map(jnp.asarray, split)) for split in (train, digits.validation, digits.test))
    outcomes: dict[str, list[Outcome]] = {kind: [] for kind in config.kinds}
    rates: dict[str, list[float]] = {kind: [] for kind in config.kinds}
    cells = [(kind, depth) for depth in config.depths for kind in config.kinds]
    for i, (kind, depth) in enumerate(cells):
        progress(i / len(cells))
        activation, skip = KINDS[kind]
        if depth == 1 and skip:  # no layer to skip: the network without, trained already
            outcomes[kind].append(outcomes["sigmoid"][-1])
            rates[kind].append(rates["sigmoid"][-1])
            continue
        run = partial(_run, config=config, activation=activation, skip=skip)
        keys = jax.random.split(jax.random.fold_in(key, depth), config.seeds)  # of all kinds alike
        sizes = (train[0].shape[1], config.width, len(digits.classes))
        starts = jax.vmap(partial(init_params, sizes=sizes, depth=depth, activation=activation))(keys)
        seeds = jnp.arange(config.seeds)
        tuned = at_best_rate(run, seeds, config.rates, lambda outcome: outcome.validation_loss, (starts, *splits))
        outcomes[kind].append(tuned.results)
        rates[kind].append(tuned.rate)
    data = {
        "depths": list(config.depths),
        "test": {kind: [o.test_accuracy for o in of_kind] for kind, of_kind in outcomes.items()},
        "train": {kind: [o.train_accuracy for o in of_kind] for kind, of_kind in outcomes.items()},
        "rates": rates,
    }
    return Finding(_claims(config, outcomes), data)


def _claims(config: Config, outcomes: dict[str, list[Outcome]]) -> tuple[Claim, ...]:
    deepest = config.depths[-1]
    training = (
        f"width {config.width}, Adam, {config.epochs} epochs, rate by validation loss for each kind and depth; "
        f"mean of {config.seeds} seeds, interval by Student's t"
    )

    def lost(kind: str, split: str) -> tuple[float, tuple[float, float]]:
        shallow, deep = (np.asarray(getattr(outcomes[kind][i], split), float) for i in (0, -1))
        return mean_and_interval(shallow - deep)

    def claim(
        name: str, statement: str, relation: Any, expected: float, source: str, kind: str, split: str = "test_accuracy"
    ) -> tuple[Claim, ...]:
        if kind not in config.kinds:
            return ()
        measured, interval = lost(kind, split)
        reason = (
            f"accuracy with {config.depths[0]} hidden layer minus accuracy with {deepest}, a pair a seed; {training}"
        )
        return (Claim(name, statement, relation, expected, source, measured, reason, interval, config.seeds),)

    glorot = "Glorot & Bengio (2010): deep sigmoid networks stay where they start; expected: to near chance, 0.1"
    he = "He et al. (2015): 30 layers train with their initialisation; expected: a few points at most"
    skips = "He et al. (2016); expected: a few points at most"
    return (
        *claim("sigmoid loses", f"Sigmoid networks of {deepest} layers lose most of their test accuracy.", ">=", 0.5,
               glorot, "sigmoid"),
        *claim("sigmoid loses in training", "They lose it on the training data too: not overfitted, but not trained.",
               ">=", 0.5, glorot, "sigmoid", "train_accuracy"),
        *claim("ReLU loses", f"ReLU networks of {deepest} layers with He's initialisation keep theirs.", "<=", 0.05, he,
               "ReLU"),
        *claim("ReLU loses in training", "On the training data too: they are trained.", "<=", 0.05, he,
               "ReLU", "train_accuracy"),
        *claim("skips lose", f"With skip connections the sigmoid networks of {deepest} layers keep theirs.", "<=", 0.05,
               skips, "sigmoid with skips"),
    )  # fmt: skip


def _run(
    seed: jax.Array,
    rate: jax.Array,
    starts: StackedParams,
    train: Any,
    validation: Any,
    test: Any,
    config: Config,
    activation: Activation,
    skip: float,
) -> Outcome:
    """Train one network."""
    steps = config.epochs * len(train[0]) // config.batch
    network = Partial(forward, skip)
    result = mlp_jax.train(
        jax.random.key(0),  # no shuffling: nothing is random
        jax.tree.map(lambda a: a[seed], starts),
        train,
        optimizer=partial(adam_to_zero, steps),
        epochs=config.epochs,
        batch_size=config.batch,
        shuffle=False,
        activation=activation,
        gradient=Partial(gradient, skip),
        forward=network,
        hyperparameters={"learning_rate": rate},
    )
    on_train, on_validation, on_test = (network(result.params, x, activation) for x, _ in (train, validation, test))
    return Outcome(
        mlp_jax.cross_entropy(on_validation, validation[1]),
        jnp.mean(mlp_jax.predict(on_train) == train[1]),
        jnp.mean(mlp_jax.predict(on_test) == test[1]),
    )


def init_params(key: jax.Array, sizes: tuple[int, int, int], depth: int, activation: Activation) -> StackedParams:
    """The parameters of `mlp_jax.init_params` for input, width and output, drawn for all equal layers at once."""
    inputs, width, outputs = sizes
    first, hidden, last = jax.random.split(key, 3)

    def layer(key: jax.Array, *sizes: int) -> Layer:
        return mlp_jax.init_params(key, sizes, activation)[0]

    return StackedParams(
        layer(first, inputs, width),
        jax.vmap(lambda key: layer(key, width, width))(jax.random.split(hidden, depth - 1)),
        layer(last, width, outputs),
    )


def forward(skip: Any, params: StackedParams, x: jax.Array, activation: Activation) -> jax.Array:
    """The logits, with h_l = skip h_{l-1} + phi(h_{l-1} W_l + b_l) for l > 1."""

    def layer(h: jax.Array, of_layer: Layer) -> tuple[jax.Array, None]:
        return skip * h + activation.value(linear(of_layer, h)), None

    h, _ = jax.lax.scan(layer, activation.value(linear(params.first, x)), params.hidden)
    return linear(params.last, h)


def gradient(
    skip: Any, params: StackedParams, x: jax.Array, targets: jax.Array, activation: Activation, loss: Loss
) -> tuple[jax.Array, StackedParams]:
    """The loss and its gradient, by autodiff."""
    return jax.value_and_grad(lambda params: loss(forward(skip, params, x, activation), targets))(params)


def picture(data: dict[str, Any]) -> Figure:
    """Test accuracy over depth."""
    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    marks = {"sigmoid": ("#d55e00", "s"), "ReLU": ("#0072b2", "o"), "sigmoid with skips": ("#009e73", "^")}
    for kind, rows in data["test"].items():
        color, marker = marks[kind]
        accuracy = 100 * np.array(rows)
        axes.plot(data["depths"], accuracy.mean(axis=1), marker=marker, ms=5, color=color, label=kind)
        axes.fill_between(data["depths"], accuracy.min(axis=1), accuracy.max(axis=1), color=color, alpha=0.2, lw=0)
    axes.axhline(10, color="0.6", ls=":", lw=1)
    axes.annotate("chance", (data["depths"][0], 10), va="bottom", fontsize=9, color="0.4")
    axes.set(xscale="log", xlabel="hidden layers", ylabel="test accuracy (%)", ylim=(0, 103))
    axes.set_xticks(data["depths"], map(str, data["depths"]))
    axes.minorticks_off()
    axes.set_title(f"Digits, mean and range of {len(data['test']['sigmoid'][0])} seeds")
    axes.grid(alpha=0.3)
    figure.legend(fontsize=9, loc="outside lower center", ncols=3)
    return figure
