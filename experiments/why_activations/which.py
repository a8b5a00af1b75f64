"""Which activation to use: how fast each learns, how well, and how many of its units stand still.

Digits (64-64-64-10) and MNIST-1D (40-100-100-10), Adam, batches of 64, each activation with mlp_jax's own
initialisation and with its own learning rate: of three, the one with the lowest mean validation error at the end of
training. Every seed draws its own parameters and orders. Speed is the first epoch with 95 % (digits) or 50 %
(MNIST-1D) of the validation set right, fixed before looking. A unit stands still where its slope is below 0.02 on all
of 1,000 training examples (dead), and an activity is saturated where the slope is, on that example.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments.intervals import mean_and_interval, median_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import Tuned, at_best_rate, first_epoch
from mlp_jax import Activation, datasets
from mlp_jax.activations import ACTIVATIONS
from mlp_jax.datasets import Dataset

FORMULA = (
    r"\mathrm{sigmoid}(z) = \frac{1}{1 + e^{-z}}, \quad \tanh z, \quad \mathrm{relu}(z) = \max(z, 0), \quad "
    r"\mathrm{gelu}(z) = z \, \Phi(z)"
)
CAPTION = (
    "Validation accuracy over epochs, mean of the seeds, each activation at its own best learning rate: digits and "
    "MNIST-1D."
)
COLORS = {"sigmoid": "#0072b2", "tanh": "#009e73", "relu": "#d55e00", "gelu": "#cc79a7"}
LABELS = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "ReLU", "gelu": "GELU"}
STILL = 0.02  # the slope below which a unit hardly learns: |tanh| > 0.99, sigmoid outside 0.02 to 0.98


@dataclass(frozen=True)
class Config:
    """The activation and the data are varied, the rest is held fixed."""

    tasks: tuple[tuple[str, int, float], ...] = (("digits", 30, 0.95), ("mnist1d", 30, 0.50))  # epochs, accuracy
    activations: tuple[str, ...] = tuple(COLORS)
    rates: tuple[float, ...] = (0.001, 0.003, 0.01)
    seeds: int = 20


FULL = Config()
QUICK = Config(tasks=(("digits", 10, 0.95),), activations=("sigmoid", "relu"), rates=(0.003, 0.01), seeds=3)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Train every activation on every task, and compare them seed by seed."""
    claims: list[Claim] = []
    data: dict[str, Any] = {}
    for i, (task, epochs, accuracy) in enumerate(config.tasks):
        dataset = datasets.load(task)
        found = {}
        for j, name in enumerate(config.activations):
            progress((i + j / len(config.activations)) / len(config.tasks))
            found[name] = _trained(config, jax.random.fold_in(key, i), dataset, ACTIVATIONS[name], epochs)
        speeds = {name: first_epoch(tuned.results["validation"], accuracy) for name, tuned in found.items()}
        claims += _claims(config, task, found, speeds, accuracy)
        data[dataset.name] = {
            "validation": {name: tuned.results["validation"].mean(axis=0) for name, tuned in found.items()},
            "test": {name: mean_and_interval(tuned.results["test"]) for name, tuned in found.items()},
            "epochs to": {name: median_and_interval(speed) for name, speed in speeds.items()},
            "dead": {name: float(tuned.results["dead"].mean()) for name, tuned in found.items()},
            "saturated": {name: float(tuned.results["saturated"].mean()) for name, tuned in found.items()},
            "rate": {name: tuned.rate for name, tuned in found.items()},
            "accuracy": accuracy,
        }
    return Finding(tuple(claims), data)


def _trained(config: Config, key: jax.Array, dataset: Dataset, phi: Activation, epochs: int) -> Tuned:
    width = 64 if dataset.name == "digits" else 100
    sizes = (dataset.train.x.shape[1], width, width, len(dataset.classes))

    def run(key: jax.Array, rate: jax.Array, train: Any, validation: Any, test: Any) -> dict[str, Any]:
        result = mlp_jax.train(
            key,
            mlp_jax.init_params(key, sizes, phi),
            train,
            validation=validation,
            optimizer=optax.adam,
            hyperparameters={"learning_rate": rate},
            epochs=epochs,
            batch_size=64,
            activation=phi,
        )
        x, labels = test
        slopes = jnp.stack(mlp_jax.forward_with_trace(result.params, train[0][:1000], phi)[1].derivative)
        still = jnp.abs(slopes) < STILL
        return {
            "validation": result.history.validation_accuracy,
            "test": jnp.mean(mlp_jax.predict(mlp_jax.forward(result.params, x, phi)) == labels),
            "dead": jnp.mean(jnp.all(still, axis=1)),
            "saturated": jnp.mean(still),
        }

    keys = jax.random.split(key, config.seeds)
    parts = tuple(tuple(part) for part in (dataset.train, dataset.validation, dataset.test))
    return at_best_rate(run, keys, config.rates, lambda r: 1 - r["validation"][:, -1], parts)


def _claims(
    config: Config, task: str, found: dict[str, Tuned], speeds: dict[str, np.ndarray], accuracy: float
) -> list[Claim]:
    name_of = {"digits": "digits", "mnist1d": "MNIST-1D"}[task]
    how = f"{config.seeds} seeds, each activation at its own learning rate"
    test = {name: np.asarray(tuned.results["test"], float) for name, tuned in found.items()}
    slower, slower_interval = mean_and_interval((speeds["sigmoid"] - speeds["relu"]).astype(float))
    differences = {pair: mean_and_interval(test[pair[0]] - test[pair[1]]) for pair in combinations(found, 2)}
    pair, (widest, widest_interval) = max(differences.items(), key=lambda item: abs(item[1][0]))
    better, worse = pair if widest > 0 else pair[::-1]
    overlap = [pair for pair, (_, (low, high)) in differences.items() if low <= 0 <= high]
    open_pairs = [f"{LABELS[a]} and {LABELS[b]}" for a, b in overlap]
    bound = 0.02 if task == "digits" else 0.1
    return [
        Claim(
            f"{task} sigmoid slower",
            f"Sigmoid needs more epochs than ReLU to {accuracy:.0%} on {name_of}.",
            ">=",
            0,
            "Glorot, Bordes & Bengio (2011), Krizhevsky, Sutskever & Hinton (2012): rectifiers learn faster",
            slower_interval[0],
            f"lower end of the interval of the paired difference, {slower:.1f} epochs; {how}",
            slower_interval,
            config.seeds,
        ),
        Claim(
            f"{task} test difference",
            f"On {name_of} the choice moves the test accuracy by no more than {bound:.0%}.",
            "<=",
            bound,
            "fixed before looking",
            abs(widest),
            f"largest of the paired mean differences, {LABELS[better]} above {LABELS[worse]}; not told apart at 95 %: "
            f"{', '.join(open_pairs) or 'none'}; {how}",
            (min(map(abs, widest_interval)), max(map(abs, widest_interval))),
            config.seeds,
        ),
    ]


def picture(data: dict[str, Any]) -> Figure:
    """Validation accuracy over epochs, a panel a task."""
    figure, panels = plt.subplots(1, len(data), figsize=(7.5, 3.8), layout="constrained", squeeze=False)
    for axes, (task, found) in zip(panels[0], data.items(), strict=True):
        for name, curve in found["validation"].items():
            curve = 100 * np.array(curve)
            test = 100 * found["test"][name][0]
            axes.plot(range(1, len(curve) + 1), curve, color=COLORS[name], label=f"{LABELS[name]}, test {test:.1f} %")
        axes.axhline(100 * found["accuracy"], color="grey", ls=":", lw=1)
        axes.set(xlabel="epoch", ylabel="validation accuracy, %")
        axes.set_ylim(*((80, 100) if task == "digits" else (20, 75)))
        axes.set_title({"digits": "Digits", "mnist1d": "MNIST-1D"}[task], fontsize=11)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8.5, loc="lower right")
    return figure
