r"""Which settings of the MLP reach the 68 % that MNIST-1D's README names: a sweep around its notebook's settings.

The notebook's network, start, data and batches (`mnist1d`), with one or two residual hidden layers more than the first,
of two widths, with ReLU and GELU. Trained with AdamW: learning rates, weight decays and numbers of epochs are tried on
3,600 training examples and chosen for each network by the mean accuracy on the other 400, over seeds. Fresh seeds are
then trained with the chosen setting on all 4,000, and measured once on the 1,000 test examples.
"""

from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.frame.claims import at_least, at_most
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, mean
from experiments.runs_at_once import over_runs
from experiments.why_activations.mnist1d import mnist1d_as_drawn, residual_forward, residual_gradient, uniform_starts
from experiments.why_activations.shared import LABELS
from mlp_jax import Params
from mlp_jax.activations import ACTIVATIONS

FORMULA = r"h_l = h_{l-1} + \varphi(h_{l-1} W_l + b_l), \quad W \leftarrow W - \eta \, (\mathrm{Adam} + \lambda W)"
STEPS_AN_EPOCH = 40


@dataclass(frozen=True)
class Config:
    """The network, learning rate, weight decay and number of epochs are varied, the rest is held fixed."""

    hidden: tuple[str, ...] = ("100-100", "256-256", "100-100-100")
    activations: tuple[str, ...] = ("relu", "gelu")
    rates: tuple[float, ...] = (0.003, 0.01)
    decays: tuple[float, ...] = (0.0, 0.1, 0.3)
    epochs: tuple[int, ...] = (25, 50, 75, 100)
    seeds: int = 3  # of each setting
    fresh: int = 10  # seeds of each chosen setting


FULL = Config()
QUICK = Config(("100-100",), ("relu",), (0.01,), (0.3,), (5, 10), 2, 2)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Train every setting on part of the training set, and the chosen setting of each network on all of it.

    Returns:
      "validation" accuracy (networks, rates, decays, seeds, epochs), and "test" accuracy (networks, fresh seeds,
      epochs).
    """
    (x, labels), test = mnist1d_as_drawn()
    part, held_out = (x[:3600], labels[:3600]), (x[3600:], labels[3600:])
    rng = tasks.generator(key)
    networks = list(product(config.hidden, config.activations))
    validation, tested = [], []
    for i, (hidden, name) in enumerate(networks):
        progress(i / len(networks))
        sizes = (40, *map(int, hidden.split("-")), 10)
        train = partial(_trained, config, ACTIVATIONS[name])
        grid = np.array(list(product(config.rates, config.decays, range(config.seeds))))
        starts = uniform_starts(rng, config.seeds, sizes)
        of_grid = jax.tree.map(lambda a: a[np.int32(grid[:, 2])], starts)
        shape = (len(config.rates), len(config.decays), config.seeds, len(config.epochs))
        validation.append(over_runs(train, (of_grid, grid[:, 0], grid[:, 1]), (part, held_out)).reshape(shape))
        rate, decay, _ = best(validation[-1])
        settings = np.full(config.fresh, config.rates[rate]), np.full(config.fresh, config.decays[decay])
        fresh = uniform_starts(rng, config.fresh, sizes), *settings
        tested.append(over_runs(train, fresh, ((x, labels), test)))
    return {
        "network": np.array([f"{hidden} {LABELS[name]}" for hidden, name in networks]),
        "rate": np.array(config.rates),
        "decay": np.array(config.decays),
        "epochs": np.array(config.epochs),
        "validation": np.array(validation),
        "test": np.array(tested),
    }


def _trained(
    config: Config, phi: mlp_jax.Activation, params: Params, rate: Any, decay: Any, train: Any, held_out: Any
) -> jax.Array:
    """Return the accuracy on the held-out examples after each number of epochs."""
    result = mlp_jax.train(
        jax.random.key(0),  # fixed order: nothing is random
        params,
        train,
        validation=held_out,
        optimizer=optax.adamw,
        hyperparameters={"learning_rate": rate, "weight_decay": decay},
        epochs=config.epochs[-1],
        batch_size=100,
        shuffle=False,
        activation=phi,
        gradient=residual_gradient,
        forward=residual_forward,
    )
    return result.history.validation_accuracy[np.array(config.epochs) - 1]


def best(validation: np.ndarray) -> tuple[int, ...]:
    """Return the indices of rate, decay and epochs with the best mean accuracy, from (rates, decays, seeds, epochs)."""
    by_setting = validation.mean(axis=2)
    return np.unravel_index(by_setting.argmax(), by_setting.shape)
