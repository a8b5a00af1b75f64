"""Which activation to use: how fast each learns, and how well.

Digits (64-64-64-10) and MNIST-1D (40-100-100-10), Adam, whole batches of 64. Weights are normal, with the variance of
the library's own initialiser for each activation, and biases 0. Each activation has its own learning rate: of three,
the one with the lowest mean validation error at the end of training. Every seed draws its own start and orders. Speed
is the first epoch with 95 % (digits) or 50 % (MNIST-1D) of the validation set right, fixed before looking.
"""

from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.frame.claims import at_least, at_most
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, difference
from experiments.runs_at_once import first_epoch, over_runs
from experiments.why_activations.shared import COLORS, LABELS, starts
from mlp_jax import Params, datasets
from mlp_jax.activations import ACTIVATIONS

FORMULA = (
    r"\mathrm{sigmoid}(z) = \frac{1}{1 + e^{-z}}, \quad \tanh z, \quad \mathrm{relu}(z) = \max(z, 0), \quad "
    r"\mathrm{gelu}(z) = z \, \Phi(z)"
)
GOALS = {"digits": 0.95, "mnist1d": 0.5}  # validation accuracy
WIDTHS = {"digits": 64, "mnist1d": 100}
BATCH = 64


@dataclass(frozen=True)
class Config:
    """The activation and the data are varied, the rest is held fixed."""

    tasks: tuple[str, ...] = ("digits", "mnist1d")
    epochs: int = 30
    activations: tuple[str, ...] = ("sigmoid", "tanh", "relu", "gelu")
    rates: tuple[float, ...] = (0.001, 0.003, 0.01)
    seeds: int = 20


FULL = Config()
QUICK = Config(tasks=("digits",), epochs=10, activations=("sigmoid", "relu"), rates=(0.01,), seeds=2)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Train every activation at every rate on every task.

    Returns:
      "validation" accuracy after every epoch (tasks, activations, rates, seeds, epochs), and "test" accuracy at the end
      (tasks, activations, rates, seeds).
    """
    rng = tasks.generator(key)
    seeds, rates = np.tile(np.arange(config.seeds), len(config.rates)), np.repeat(config.rates, config.seeds)
    validation, test = [], []
    for i, task in enumerate(config.tasks):
        progress(i / len(config.tasks))
        dataset = datasets.load(task)
        whole = len(dataset.train.x) // BATCH * BATCH
        train = dataset.train.x[:whole], dataset.train.labels[:whole]
        sizes = (train[0].shape[1], WIDTHS[task], WIDTHS[task], len(dataset.classes))
        drawn = rng.integers(2**31)
        params = [starts(np.random.default_rng(drawn), config.seeds, sizes, name) for name in config.activations]
        runs = jax.tree.map(lambda a: a[seeds], params), seeds, rates
        found = over_runs(partial(_trained, config), runs, (key, train, dataset.validation, dataset.test))
        validation.append([by_epoch for by_epoch, _ in found])
        test.append([at_end for _, at_end in found])
    shape = (len(config.tasks), len(config.activations), len(config.rates), config.seeds)
    return {
        "task": np.array(config.tasks),
        "activation": np.array(config.activations),
        "rate": np.array(config.rates),
        "validation": np.reshape(validation, (*shape, config.epochs)),
        "test": np.reshape(test, shape),
    }


def _trained(
    config: Config, starts: list[Params], seed: jax.Array, rate: jax.Array, key: jax.Array, train: Any, *held_out: Any
) -> list[tuple[Any, Any]]:
    """Return validation accuracy after every epoch, and test accuracy at the end, for each activation."""
    validation, (x, labels) = held_out
    found = []
    for name, params in zip(config.activations, starts, strict=True):
        phi = ACTIVATIONS[name]
        result = mlp_jax.train(
            jax.random.fold_in(key, seed),
            params,
            train,
            validation=validation,
            optimizer=optax.adam,
            hyperparameters={"learning_rate": rate},
            epochs=config.epochs,
            batch_size=BATCH,
            activation=phi,
        )
        right = mlp_jax.predict(mlp_jax.forward(result.params, x, phi)) == labels
        found.append((result.history.validation_accuracy, jnp.mean(right)))
    return found


def at_best_rate(n: Numbers, task: str, name: str) -> np.ndarray:
    """Return "validation" or "test" at each activation's best rate, (activations, seeds, ...)."""
    i = n.at(task=task)
    best = n["validation"][i, ..., -1].mean(axis=2).argmax(axis=1)
    return np.stack([runs[rate] for runs, rate in zip(n[name][i], best, strict=True)])


def slower(n: Numbers, task: str) -> Statistic:
    """Return how many epochs more sigmoid needs than ReLU, paired by seed."""
    runs = at_best_rate(n, task, "validation")
    return difference(*(first_epoch(runs[n.at(activation=name)], GOALS[task]) for name in ("sigmoid", "relu")))


def widest(n: Numbers, task: str) -> Statistic:
    """Return the largest mean difference in test accuracy between two activations, paired by seed."""
    pairs = permutations(at_best_rate(n, task, "test"), 2)
    return max((difference(a, b) for a, b in pairs), key=lambda statistic: statistic.value)


OWN_RATE = "each activation at its own learning rate"
slower_than_relu = partial(
    at_least,
    0,
    source="Glorot, Bordes & Bengio (2011), Krizhevsky, Sutskever & Hinton (2012): rectifiers learn faster",
    how=f"epochs of sigmoid less those of ReLU; {OWN_RATE}",
)
moves = partial(at_most, source="fixed before looking", how=f"largest of the paired mean differences; {OWN_RATE}")


@slower_than_relu("Sigmoid needs more epochs than ReLU to 95% on digits.")
def digits_sigmoid_slower(n: Numbers) -> Statistic:
    return slower(n, "digits")


@moves(0.02, "On digits the choice moves the test accuracy by no more than 2%.")
def digits_test_difference(n: Numbers) -> Statistic:
    return widest(n, "digits")


@slower_than_relu("Sigmoid needs more epochs than ReLU to 50% on MNIST-1D.")
def mnist1d_sigmoid_slower(n: Numbers) -> Statistic:
    return slower(n, "mnist1d")


@moves(0.1, "On MNIST-1D the choice moves the test accuracy by no more than 10%.")
def mnist1d_test_difference(n: Numbers) -> Statistic:
    return widest(n, "mnist1d")


def picture(n: Numbers) -> Figure:
    """Draw validation accuracy over epochs, a panel for each task."""
    names = {"digits": "Digits", "mnist1d": "MNIST-1D"}
    figure, axes = panels(1, len(n["task"]), figsize=(7.5, 3.8), squeeze=False)
    for panel, task in zip(axes[0], n["task"], strict=True):
        curves = 100 * at_best_rate(n, task, "validation").mean(axis=1)
        test = 100 * at_best_rate(n, task, "test").mean(axis=1)
        for name, curve, at_end in zip(n["activation"], curves, test, strict=True):
            label = f"{LABELS[name]}, test {at_end:.1f} %"
            panel.plot(range(1, len(curve) + 1), curve, color=COLORS[name], label=label)
        panel.axhline(100 * GOALS[task], color="grey", ls=":", lw=1)
        panel.set(xlabel="epoch", ylabel="validation accuracy, %", title=names[task])
        panel.set_ylim(*((80, 100) if task == "digits" else (20, 75)))
        panel.legend(fontsize=8.5, loc="lower right")
    return figure
