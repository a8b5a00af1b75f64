"""The gradient by hand against jax.grad and finite differences, for every activation and depth.

Real digits, random weights of variance 1 / fan_in, or 2 / fan_in for units like ReLU, and biases of 0.5 randn. Leaf by
leaf with jax.grad in both dtypes; along random directions with central differences of the loss in float64, but for
those that cross a kink of relu. The error is the relative L2 norm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_most
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, largest
from experiments.tasks import generator
from mlp_jax import Activation, Params, autodiff, backprop, datasets
from mlp_jax.activations import ACTIVATIONS, HE

FORMULA = r"\delta_l = (\delta_{l+1} W_{l+1}^\top) * \varphi'(z_l), \qquad \mathrm{d}W_l = h_{l-1}^\top \delta_l"
DTYPES = ("float32", "float64")
KINKED = ("relu", "leaky_relu")


@dataclass(frozen=True)
class Config:
    """The network's depth, its activation and the dtype are varied, the rest is held fixed."""

    activations: tuple[str, ...] = tuple(  # those of the record
        ["identity", "sigmoid", "tanh", "relu", "leaky_relu", "softplus", "silu", "gelu", "gelu_tanh", "sin"]
    )
    depths: tuple[int, ...] = (1, 2, 3, 8, 32)  # hidden layers
    width: int = 32
    batch: int = 64
    seeds: int = 5
    directions: int = 10  # along which finite differences are taken


FULL = Config()
QUICK = Config(activations=("tanh", "relu"), depths=(1, 3), seeds=1, directions=3)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Compare with jax.grad, leaf by leaf, in both dtypes, and with central differences in float64.

    Returns:
      Errors of the "worst leaf" and of the "whole" gradient (dtypes, activations, depths, seeds); for every direction
      the slope "by hand" and "by differences", and whether it "crosses" a kink (activations, depths, seeds,
      directions).
    """
    rng = generator(key)
    shape = (len(config.activations), len(config.depths), config.seeds)
    errors = {name: np.zeros((len(DTYPES), *shape)) for name in ("worst leaf", "whole")}
    slopes = {name: np.zeros((*shape, config.directions)) for name in ("by hand", "by differences", "crosses")}
    for a, name in enumerate(config.activations):
        progress(a / len(config.activations))
        drawn = [_draw(config, rng, name, depth) for depth in config.depths]
        for d, dtype in enumerate(DTYPES):
            with jax.enable_x64(dtype == "float64"):
                x, labels = digits(config.batch, dtype)
                params = jax.tree.map(lambda leaf, dtype=dtype: leaf.astype(dtype), [params for params, _ in drawn])
                pairs = _gradients(ACTIVATIONS[name], params, x, labels)
                for i, pair in enumerate(pairs):
                    errors["worst leaf"][d, a, i] = np.max([*map(_errors, *map(jax.tree.leaves, pair))], axis=0)
                    errors["whole"][d, a, i] = _errors(*(_flat(gradient) for gradient in pair))
        with jax.enable_x64(True):
            by_hand = [gradient for gradient, _ in pairs]
            for i, slopes_at in enumerate(_slopes(ACTIVATIONS[name], drawn, by_hand, x, labels)):
                for values, measured in zip(slopes.values(), slopes_at, strict=True):
                    values[a, i] = measured
    return {
        "dtype": np.array(DTYPES),
        "activation": np.array(config.activations),
        "depth": np.array(config.depths),
        **errors,
        **slopes,
    }


HOW = "relative L2 error; {n.config.depths} hidden layers, every activation"


@at_most(
    1e-12,
    "By hand and by jax.grad every parameter's gradient is the same, in float64.",
    source="rounding: unit roundoff 1.1e-16, times the operations of 33 layers",
    how="of a leaf; " + HOW,
    must=True,
)
def float64(n: Numbers) -> Statistic:
    return largest(n["worst leaf"][n.at(dtype="float64")])


@at_most(
    1e-3,
    "Every parameter's gradient is the same, in float32.",
    source="rounding: unit roundoff 6e-8, and at depth 32 a leaf can be a cancelling sum",
    how="of a leaf; " + HOW,
    must=True,
)
def float32(n: Numbers) -> Statistic:
    return largest(n["worst leaf"][n.at(dtype="float32")])


@at_most(
    5e-6,
    "The whole gradient, as one vector, is the same, in float32.",
    source="rounding: unit roundoff 6e-8, times the operations of 33 layers",
    how="of the whole gradient; " + HOW,
    must=True,
)
def float32_whole(n: Numbers) -> Statistic:
    return largest(n["whole"][n.at(dtype="float32")])


def difference_errors(n: Numbers) -> np.ndarray:
    """Return the error of the slopes over the directions that cross no kink (activations, depths, seeds)."""
    smooth = n["crosses"] == 0
    off, size = ((n["by differences"] - n["by hand"]) * smooth, n["by hand"] * smooth)
    return np.linalg.norm(off, axis=-1) / np.maximum(np.linalg.norm(size, axis=-1), np.finfo(float).tiny)


@at_most(
    1e-6,
    "Central differences of the loss, which know no chain rule, agree with it.",
    source="their own error, eps^(2/3) of the loss's size (Nocedal & Wright, 2006, sec. 8.1), over a small slope",
    how="float64, step eps^(1/3) of the parameters' norm, {n.config.directions} random directions, but for those that "
    "cross a kink of relu; " + HOW,
    must=True,
)
def finite_differences(n: Numbers) -> Statistic:
    return largest(difference_errors(n))


def picture(n: Numbers) -> Figure:
    """Draw the worst leaf's error of every activation over depth."""
    figure, axes = panels(figsize=(6.5, 4.2))
    for dtype, color in {"float32": "tab:orange", "float64": "tab:blue"}.items():
        for i, errors in enumerate(n["worst leaf"][n.at(dtype=dtype)].max(axis=-1)):
            label = f"{dtype}, one line per activation" if i == 0 else None
            axes.plot(n["depth"], errors, "o-", ms=3, lw=1, alpha=0.7, color=color, label=label)
        roundoff = float(np.finfo(dtype).eps) / 2
        axes.axhline(roundoff, color=color, ls=":", lw=1)
        axes.annotate(
            f"unit roundoff {roundoff:.0e}", (0.01, roundoff), xycoords=("axes fraction", "data"), va="top",
            fontsize=8, color=color,
        )  # fmt: skip
    worst = difference_errors(n).max(axis=(0, 2))
    axes.plot(n["depth"], worst, "s--", ms=3, lw=1, color="tab:green", label="finite differences, worst activation")
    axes.set(xscale="log", yscale="log", xlabel="hidden layers", ylabel="relative L2 difference")
    axes.set_title("Gradient by hand against jax.grad, worst parameter")
    axes.set_xticks(n["depth"], map(str, n["depth"]))
    axes.minorticks_off()
    axes.legend(fontsize=8, loc="center left")
    return figure


def digits(count: int | None, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the first digits of the training split, or all of them."""
    dataset = datasets.load_digits(dtype=np.dtype(dtype))
    if count is None:
        x, labels = map(np.concatenate, zip(dataset.train, dataset.validation, dataset.test, strict=True))
        return x, labels
    return dataset.train.x[:count], dataset.train.labels[:count]


def _draw(config: Config, rng: np.random.Generator, name: str, depth: int) -> tuple[Any, Any]:
    """Return params of all seeds, on a leading axis, and the directions of each seed."""
    gain = 2 if ACTIVATIONS[name].weight_init is HE else 1
    S, R = config.seeds, config.directions
    shapes = list(pairwise((64, *depth * (config.width,), 10)))
    params = [
        (rng.standard_normal((S, a, b)) * (gain / a) ** 0.5, 0.5 * rng.standard_normal((S, b))) for a, b in shapes
    ]
    return params, [(rng.standard_normal((S, R, a, b)), rng.standard_normal((S, R, b))) for a, b in shapes]


def _network(params: Sequence[Any]) -> Params:
    return tuple(mlp_jax.Layer(*layer) for layer in params)


@partial(jax.jit, static_argnums=0)
def _gradients(phi: Activation, drawn: Sequence[Any], x: Any, labels: Any) -> list[tuple[Params, Params]]:
    """Return the gradients by hand and by autodiff, for every depth; seeds first."""

    def both(params: Any) -> tuple[Params, Params]:
        return backprop(_network(params), x, labels, phi)[1], autodiff(_network(params), x, labels, phi)[1]

    return [jax.vmap(both)(params) for params in drawn]


@partial(jax.jit, static_argnums=0)
def _slopes(
    phi: Activation, drawn: Sequence[Any], by_hand: Sequence[Any], x: Any, labels: Any
) -> list[tuple[jax.Array, ...]]:
    """Return <g, v> by hand and by central differences, and whether a kink is crossed, for every depth."""

    def along(params: Any, g: Params, v: Params) -> tuple[jax.Array, ...]:
        h = np.cbrt(np.finfo(float).eps) * optax.tree.norm(params) / optax.tree.norm(v)
        ends = (jax.tree.map(lambda p, d, step=step: p + step * d, params, v) for step in (h, -h))
        (up, z_up), (down, z_down) = (_loss_and_z(end, x, labels, phi) for end in ends)
        crosses = [jnp.any((a > 0) != (b > 0)) for a, b in zip(z_up, z_down, strict=True) if phi.name in KINKED]
        return optax.tree.vdot(g, v), (up - down) / (2 * h), jnp.any(jnp.array(crosses))

    at = jax.vmap(jax.vmap(along, (None, None, 0)))
    return [at(_network(params), g, _network(v)) for (params, v), g in zip(drawn, by_hand, strict=True)]


def _loss_and_z(params: Params, x: Any, labels: Any, phi: Activation) -> tuple[jax.Array, Sequence[jax.Array]]:
    """Return the loss, and z of the hidden layers."""
    logits, trace = mlp_jax.forward_with_trace(params, x, phi)
    return mlp_jax.cross_entropy(logits, labels), trace.z[:-1]


def _errors(actual: Any, expected: Any) -> np.ndarray:
    """Return the relative L2 error of arrays (seeds, ...), for every seed."""
    a, b = (np.asarray(leaf, float).reshape(len(leaf), -1) for leaf in (actual, expected))
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)


def _flat(gradient: Any) -> np.ndarray:
    return np.concatenate([np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(gradient)], axis=1)
