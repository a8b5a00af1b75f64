"""Training from a confidently wrong start: with cross-entropy, and with squared error after softmax.

Digits, 64-64-10 tanh, the output bias of class 0 raised by 10 or by 20, SGD in batches of 64. Each loss and lead has
its own learning rate: of a grid that reaches far to both sides, the one with the fewest epochs to 95 % of the
validation set, mean over seeds; a run that does not get there counts as one epoch more than there are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.tree_util import Partial
from matplotlib.figure import Figure

import mlp_jax
from experiments.intervals import median_and_interval, share_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import first_epoch, over_runs
from experiments.why_softmax.losses import COLORS, LABELS, LOSSES
from mlp_jax import Loss, datasets

FORMULA = r"\frac{\mathrm{d}}{\mathrm{d}t} \, \mathrm{gap} = -2, \qquad -(2C + 4) \, e^{-\mathrm{gap}}"
CAPTION = (
    "Trainings that start sure of a wrong class: with squared error they wait, and from a lead of 20 they never start."
)

GOAL = 0.95


@dataclass(frozen=True)
class Config:
    """The loss and the lead of a wrong class are varied, the rest is held fixed."""

    sizes: tuple[int, ...] = (64, 64, 10)
    leads: tuple[float, float] = (10.0, 20.0)  # of class 0, by its output bias
    batch_size: int = 64
    epochs: int = 60
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    seeds: int = 20


FULL = Config()
QUICK = Config(epochs=30, rates=(0.3, 1.0, 3.0), seeds=5)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Train from both starts with both losses."""
    progress(0.1)
    curves, rates = train_at_best_rates(key, config)
    epochs = {name: np.array([first_epoch(accuracy, GOAL) for accuracy in by_lead]) for name, by_lead in curves.items()}
    data = {
        "leads": list(config.leads),
        "rates": rates,
        "curves": {name: [range_over_seeds(rows) for rows in by_lead] for name, by_lead in curves.items()},
        "epochs": epochs,
    }
    return Finding(tuple(claims_of(config, epochs, rates)), data)


def train_at_best_rates(key: jax.Array, config: Config) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """The test accuracy (leads, seeds, epochs) of each loss at the best rate of each lead, and these rates."""
    digits = datasets.load_digits()
    data = tuple(tuple(split) for split in (digits.train, digits.validation, digits.test))
    shape = len(LOSSES), len(config.leads), len(config.rates), config.seeds
    loss, lead, rate, seed = np.indices(shape).reshape(4, -1)
    leads, rates = (np.array(values, np.float32) for values in (config.leads, config.rates))
    runs = jax.random.split(key, config.seeds)[seed], rates[rate], leads[lead], loss
    validation, test = over_runs(partial(train_one, config=config), runs, data)
    best = first_epoch(validation, GOAL).reshape(shape).mean(axis=3).argmin(axis=2)
    curves = np.take_along_axis(test.reshape(*shape, -1), best[:, :, None, None, None], axis=2)[:, :, 0]
    return dict(zip(LOSSES, curves, strict=True)), dict(zip(LOSSES, np.array(config.rates)[best].tolist(), strict=True))


def train_one(
    key: jax.Array,
    rate: jax.Array,
    lead: jax.Array,
    loss: jax.Array,
    train: Any,
    validation: Any,
    test: Any,
    *,
    config: Config,
) -> Any:
    """The accuracy on the validation and the test set after every epoch of one training."""
    of_params, of_order = jax.random.split(key)
    result = mlp_jax.train(
        of_order,
        wrong_start(of_params, config.sizes, lead),
        train,
        validation=validation,
        optimizer=optax.sgd,
        hyperparameters={"learning_rate": rate},
        epochs=config.epochs,
        batch_size=config.batch_size,
        activation=mlp_jax.tanh,
        gradient=Partial(gradient_of_one_of_the_losses, loss),
        record=Partial(test_accuracy, *test),
    )
    return result.history.validation_accuracy, result.recorded


def gradient_of_one_of_the_losses(i: jax.Array, params: Any, x: Any, labels: Any, activation: Any, loss: Any) -> Any:
    """Backprop of the i-th of `LOSSES`, whatever loss it is handed: one program trains with all of them."""
    chosen = Loss(
        lambda z, y: jnp.stack([loss(z, y) for loss in LOSSES.values()])[i],
        lambda z, y: jnp.stack([loss.logits_gradient(z, y) for loss in LOSSES.values()])[i],
        name="chosen",
    )
    return mlp_jax.backprop(params, x, labels, activation, chosen)


def wrong_start(key: jax.Array, sizes: Sequence[int], lead: jax.Array) -> mlp_jax.Params:
    """Parameters that answer class 0 to everything: its output bias is raised."""
    *hidden, (weight, bias) = mlp_jax.init_params(key, sizes, mlp_jax.tanh)
    return (*hidden, mlp_jax.Layer(weight, bias.at[0].add(lead)))


def test_accuracy(test_x: jax.Array, test_labels: jax.Array, params: Any, x: jax.Array, labels: jax.Array) -> jax.Array:
    """The share of the test set that is predicted: what `train` records, whatever it trains on."""
    return jnp.mean(mlp_jax.predict(mlp_jax.forward(params, test_x, mlp_jax.tanh)) == test_labels)


def range_over_seeds(rows: np.ndarray) -> np.ndarray:
    """Least, median and largest over seeds, by epoch."""
    return np.array([rows.min(axis=0), np.median(rows, axis=0), rows.max(axis=0)])


def claims_of(config: Config, epochs: dict[str, np.ndarray], rates: dict[str, list[float]]) -> list[Claim]:
    """The ratio of epochs from the smaller lead, and who gets there at all from the larger one."""
    ratio, interval = median_and_interval(epochs["squared error"][0] / epochs["cross-entropy"][0])
    lead, seeds = config.leads[1], config.seeds
    steps = math.exp(lead) / (2 * config.sizes[-1] + 4)
    reason = (
        f"share of runs that reach {GOAL:.0%} test accuracy in {config.epochs} epochs, best of rates {config.rates}"
    )
    stuck, stuck_interval = share_and_interval(epochs["squared error"][1] <= config.epochs)
    free, free_interval = share_and_interval(epochs["cross-entropy"][1] <= config.epochs)
    return [
        Claim(
            "epochs",
            f"From a lead of {config.leads[0]:g}, squared error after softmax takes several times the epochs.",
            ">=",
            3,
            "derived: it has to wait where its gradient has vanished; a factor of 4 in an earlier trial of ours",
            ratio,
            f"epochs to {GOAL:.0%} test accuracy over cross-entropy's, same seed, data and start, each at its best "
            f"rate, {rates['squared error'][0]:g} and {rates['cross-entropy'][0]:g}: median",
            interval,
            seeds,
        ),
        Claim(
            "squared error far",
            f"From a lead of {lead:g} squared error after softmax learns nothing.",
            "<=",
            0.05,
            f"derived: it has to wait exp({lead:g}) / (2 C + 4) = {steps:.0e} steps at rate 1, if only logits learn",
            stuck,
            reason,
            stuck_interval,
            seeds,
        ),
        Claim(
            "cross-entropy far",
            "Cross-entropy learns from there, too.",
            ">=",
            0.95,
            f"derived: a gap of {lead:g} falls by up to 2 a step at rate 1, if only logits learn",
            free,
            reason,
            free_interval,
            seeds,
        ),
    ]


def picture(data: dict[str, Any]) -> Figure:
    """Test accuracy over epochs, median and range of seeds."""
    figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
    for name, color in COLORS.items():
        for lead, line, rows in zip(data["leads"], ("-", "--"), data["curves"][name], strict=True):
            low, median, high = np.array(rows)
            epochs = np.arange(1, len(median) + 1)
            axes.plot(epochs, median, line, color=color, lw=2, label=f"{LABELS[name]}, lead {lead:g}")
            axes.fill_between(epochs, low, high, color=color, alpha=0.2, lw=0)
    axes.axhline(GOAL, color="black", ls=":", lw=1)
    axes.set(xlabel="epochs", ylabel="test accuracy", xlim=(0, None), ylim=(0, 1.02))
    axes.set_title("Training from a lead of a wrong class, median and range of seeds")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="center right")
    return figure
