"""Two trainings that differ only in who computed the gradient: how far apart they get.

Gradient descent on full batches of digits, from the same parameters, one network with the gradient by hand and one with
jax.grad's. A pair is one pytree in one compiled program, so both see the same batches.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_most
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import band, panels
from experiments.frame.statistics import Statistic, largest, median
from experiments.tasks import generator
from experiments.why_backprop.agreement import DTYPES, digits
from mlp_jax import Activation, Layer, Params, autodiff, backprop

FORMULA = r"\theta_{t+1} = \theta_t - \eta \, \nabla_\theta \mathcal{L}(\theta_t)"
FIRST = {"float64": 1e-15, "float32": 1e-6}  # about ten times the unit roundoff


@dataclass(frozen=True)
class Config:
    """The dtype is varied, the rest is held fixed."""

    trainings: int = 20  # pairs of trainings, each with its own seed
    steps: tuple[int, ...] = (1, 10, 100, 1000)
    examples: int = 256  # of every full-batch step
    learning_rate: float = 0.1


FULL = Config()
QUICK = Config(trainings=3, steps=(1, 10, 100))


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Train pairs of networks from the same parameters, one with each gradient.

    Returns:
      The "distance" of the parameters, relative L2, after some steps (dtypes, trainings, steps), and how many digits
      the two "predict" as another class at the end (dtypes, trainings).
    """
    last = max(config.steps)
    marks = sorted({round(10**e) for e in np.linspace(0, np.log10(last), 60)} | set(config.steps))
    starts = _starts(generator(key), config.trainings)
    distances, different = [], []
    for i, dtype in enumerate(DTYPES):
        progress(i / len(DTYPES))
        with jax.enable_x64(dtype == "float64"):
            params = tuple(Layer(*layer) for layer in jax.tree.map(np.dtype(dtype).type, starts))
            apart, differ = _pairs(config, params, digits(config.examples, dtype), digits(None, dtype)[0])
            distances.append(np.asarray(apart, float)[:, np.array(marks) - 1])
            different.append(np.asarray(differ))
    return {
        "dtype": np.array(DTYPES),
        "step": np.array(marks),
        "distance": np.stack(distances),
        "differ": np.stack(different),
    }


@at_most(
    lambda n, dtype, step: FIRST[dtype] * step,
    "After step {step:,} the two trainings agree to rounding, in {dtype}.",
    dtype=("float64", "float32"),
    step=(1, 10, 100, 1000),
    source="rounding: ten times the unit roundoff, added at every step",
    how="relative L2 distance of the parameters, 64-32-10 tanh, full batches of {n.config.examples} digits, gradient "
    "descent at {n.config.learning_rate}",
    must=True,
)
def apart(n: Numbers, dtype: str, step: int) -> Statistic:
    return median(n["distance"][n.at(dtype=dtype), :, n.at(step=step)])


@at_most(
    0,
    "After the last step the two networks predict the same class for every digit.",
    source="rounding is far smaller than the gap between logits",
    how="float64, all 1,797 digits, after the last of the steps {n.config.steps}",
    must=True,
)
def predictions_that_differ(n: Numbers) -> Statistic:
    return largest(n["differ"][n.at(dtype="float64")])


def picture(n: Numbers) -> Figure:
    """Draw the distance of a pair over steps."""
    figure, axes = panels(figsize=(6.5, 4.2))
    for dtype, color in {"float32": "tab:orange", "float64": "tab:blue"}.items():
        rows = n["distance"][n.at(dtype=dtype)]
        band(axes, n["step"], rows, color=color, label=f"{dtype}, median and range of {len(rows)} pairs")
        roundoff = float(np.finfo(dtype).eps) / 2
        axes.axhline(roundoff, color=color, ls=":", lw=1)
        axes.annotate(
            f"unit roundoff {roundoff:.0e}", (0.01, roundoff), xycoords=("axes fraction", "data"), va="bottom",
            fontsize=8, color=color,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="steps of gradient descent", ylabel="relative L2 distance")
    axes.set_title("Parameters of two trainings, one with each gradient")
    axes.legend(fontsize=8, loc="center left")
    return figure


def _starts(rng: np.random.Generator, trainings: int) -> Any:
    """Return 64-32-10 networks of Glorot's variance, without biases, on a leading axis."""
    return tuple(
        (rng.standard_normal((trainings, a, b)) * (2 / (a + b)) ** 0.5, np.zeros((trainings, b)))
        for a, b in ((64, 32), (32, 10))
    )


@partial(jax.jit, static_argnums=0)
def _pairs(config: Config, starts: Params, train: Any, test: Any) -> tuple[jax.Array, jax.Array]:
    """Return the distance after every step, and how many predictions differ, of every training."""

    def run(params: Params) -> tuple[jax.Array, jax.Array]:
        result = mlp_jax.train(
            jax.random.key(0),  # full batches: nothing is random
            (params, params),
            train,
            optimizer=optax.sgd(config.learning_rate),
            epochs=max(config.steps),
            batch_size=config.examples,
            shuffle=False,
            activation=mlp_jax.tanh,
            gradient=_gradient_of_pair,
            forward=_forward_of_first,
            record=_distance,
        )
        first, second = (mlp_jax.predict(mlp_jax.forward(params, test, mlp_jax.tanh)) for params in result.params)
        return result.recorded, jnp.sum(first != second)

    return jax.vmap(run)(starts)


def _gradient_of_pair(pair: Any, x: Any, labels: Any, activation: Activation, loss: Any) -> Any:
    (value, by_hand), (_, by_autodiff) = (
        gradient(params, x, labels, activation, loss)
        for gradient, params in zip((backprop, autodiff), pair, strict=True)
    )
    return value, (by_hand, by_autodiff)


def _forward_of_first(pair: Any, x: Any, activation: Activation) -> jax.Array:
    return mlp_jax.forward(pair[0], x, activation)


def _distance(pair: Any, x: Any, labels: Any) -> jax.Array:
    first, second = (ravel_pytree(params)[0] for params in pair)
    return jnp.linalg.norm(first - second) / jnp.linalg.norm(second)
