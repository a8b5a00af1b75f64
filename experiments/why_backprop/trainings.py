"""Two trainings that differ only in who computed the gradient: how far apart they get.

Gradient descent on full batches of digits, from the same parameters, one network with the gradient by hand and one with
jax.grad's. A pair is one pytree in one compiled program, so both see the same batches.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

import mlp_jax
from experiments.intervals import median_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.why_backprop.agreement import DTYPES, digits
from mlp_jax import Activation, autodiff, backprop

FORMULA = r"\theta_{t+1} = \theta_t - \eta \, \nabla_\theta \mathcal{L}(\theta_t)"
CAPTION = (
    "How far apart two trainings get, one with the gradient by hand and one with jax.grad's: rounding, step after step."
)


@dataclass(frozen=True)
class Config:
    """The dtype is varied, the rest is held fixed."""

    trainings: int = 20  # pairs of trainings, each with its own seed
    steps: tuple[int, ...] = (1, 10, 100, 1000)
    examples: int = 256  # of every full-batch step
    learning_rate: float = 0.1


FULL = Config()
QUICK = Config(trainings=5)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Train pairs of networks from the same parameters, one with each gradient, and measure how far apart they get.

    A pair is one pytree: both see the same batches in one compiled program, and `record` measures their distance.
    """
    steps = max(config.steps)
    distances: dict[str, list[list[float]]] = {}
    disagreements: dict[str, list[int]] = {}
    for i, dtype in enumerate(DTYPES):
        progress(i / len(DTYPES))
        with jax.enable_x64(dtype == "float64"):
            train = digits(config.examples, dtype)
            test = digits(None, dtype)[0]

            def run_pair(key: jax.Array, train: Any = train, test: Any = test, dtype: str = dtype) -> Any:
                params = mlp_jax.init_params(key, (64, 32, 10), mlp_jax.tanh, dtype=dtype)
                result = mlp_jax.train(
                    key,
                    (params, params),
                    train,
                    optimizer=optax.sgd(config.learning_rate),
                    epochs=steps,
                    batch_size=config.examples,
                    activation=mlp_jax.tanh,
                    gradient=_gradient_of_pair,
                    forward=_forward_of_first,
                    record=_distance,
                )
                first, second = (
                    mlp_jax.predict(mlp_jax.forward(params, test, mlp_jax.tanh)) for params in result.params
                )
                return result.recorded, jnp.sum(first != second)

            keys = jax.random.split(key, config.trainings)
            apart, different = jax.jit(jax.vmap(run_pair))(keys)
            distances[dtype] = np.asarray(apart, float).tolist()
            disagreements[dtype] = np.asarray(different).tolist()

    reason = (
        f"relative L2 distance of the parameters, median of {config.trainings} seeds, 64-32-10 tanh, full batches of "
        f"{config.examples} digits, gradient descent at {config.learning_rate}"
    )
    claims = []
    for dtype, first in (("float64", 1e-15), ("float32", 1e-6)):
        for step in config.steps:
            median, interval = median_and_interval([row[step - 1] for row in distances[dtype]])
            claims.append(
                Claim(
                    name=f"{dtype} apart" + ("" if step == steps else f" after {step}"),
                    statement=f"After {step:,} step{'s' * (step > 1)} the two trainings agree to rounding, in {dtype}.",
                    relation="<=",
                    expected=first * step,
                    source=f"rounding: ten times the unit roundoff, about {first:g}, added at every step",
                    measured=median,
                    reason=reason,
                    interval=interval,
                    seeds=config.trainings,
                    exact=True,
                )
            )
    claims.append(
        Claim(
            "predictions that differ",
            f"After {steps:,} steps the two networks predict the same class for every digit.",
            "<=",
            0,
            "rounding is far smaller than the gap between logits",
            float(max(disagreements["float64"])),
            f"float64, all 1,797 digits, the worst of {config.trainings} pairs",
            seeds=config.trainings,
            exact=True,
        )
    )
    marks = sorted({round(10**e) for e in np.linspace(0, np.log10(steps), 60)} | set(config.steps))
    data = {
        "steps": marks,
        "distances": {dtype: [[row[s - 1] for s in marks] for row in rows] for dtype, rows in distances.items()},
    }
    return Finding(tuple(claims), data)


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


def picture(data: dict[str, Any]) -> Figure:
    """The distance of a pair over steps."""
    figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    steps = data["steps"]
    for dtype, color in {"float32": "tab:orange", "float64": "tab:blue"}.items():
        rows = np.array(data["distances"][dtype], float)
        axes.plot(steps, np.median(rows, axis=0), color=color, label=f"{dtype}, median and range of {len(rows)} pairs")
        axes.fill_between(steps, rows.min(axis=0), rows.max(axis=0), color=color, alpha=0.2, lw=0)
        roundoff = float(jnp.finfo(dtype).eps) / 2
        axes.axhline(roundoff, color=color, ls=":", lw=1)
        axes.annotate(
            f"unit roundoff {roundoff:.0e}", (0.01, roundoff), xycoords=("axes fraction", "data"), va="bottom",
            fontsize=8, color=color,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="steps of gradient descent", ylabel="relative L2 distance")
    axes.set_title("Parameters of two trainings, one with each gradient")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left")
    return figure
