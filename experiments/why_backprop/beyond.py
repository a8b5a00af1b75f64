"""What lies beyond the gradient, in gradients: a product with the Hessian, and the norm of every example's gradient.

Operations: XLA's own count for the compiled derivative, over that for loss and gradient, of four ReLU networks. Theory
counts the matrix products, with P = sum of n_{l-1} n_l over the layers. A gradient has h W, h^T delta and, but in the
first layer, delta W^T: 3 P - n_0 n_1. H v applies R, the derivative along v, to each of them (Pearlmutter, 1994):
R{h W} = R{h} W + h V and R{delta W^T} are two more products, and R{h^T delta} is two in place of one; in the first
layer, where R{h} = 0 and no delta goes on, three remain. ReLU saves n_1 n_2, since phi'' = 0 leaves delta_1 out of all
terms. The norms need every delta, but no h^T delta (Goodfellow, 2015). Time: the same functions and the gradient,
compiled and called in turn, round after round, on one of the networks; the median of the rounds' ratios counts. Beside
them the norms of gradients that jax.vmap of jax.grad forms first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments.protocol import Claim, Finding, Progress
from experiments.why_backprop.cost import NETWORKS, operations, times_over_first
from mlp_jax import derivatives_by_autodiff

FORMULA = (
    r"\frac{\mathrm{operations}(H v)}{\mathrm{operations}(\nabla \mathcal{L})}"
    r" = \frac{8 P - 5 n_0 n_1 - n_1 n_2}{3 P - n_0 n_1}, \qquad"
    r" \frac{\mathrm{operations}(\| g_1 \|, \ldots, \| g_B \|)}{\mathrm{operations}(\nabla \mathcal{L})}"
    r" = \frac{2 P - n_0 n_1}{3 P - n_0 n_1}"
)
CAPTION = (
    "The cost of other derivatives, in gradients. A product with the Hessian costs about two; the norm of every "
    "example's gradient less than one, where forming these gradients first takes many times as long."
)

HESSIAN, NORMS, FORMED = "product with the Hessian", "norm of every gradient", "the norms, gradients formed first"


@dataclass(frozen=True)
class Config:
    """The derivative and the network are varied, the rest is held fixed."""

    counted_batch: int = 128
    timed_network: tuple[int, ...] = (784, 512, 512, 10)
    timed_batch: int = 256
    rounds: int = 21


FULL = Config()
QUICK = Config(timed_batch=128, rounds=7)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Count the operations on four networks, and time the same functions on one."""
    counted = [counted_ratios(sizes, config.counted_batch) for sizes in NETWORKS]
    progress(0.4)
    times = timed_ratios(config, key)
    expected = [expected_ratios(sizes) for sizes in NETWORKS]
    claims = (*_claims_of_operations(expected, counted), *_claims_of_time(config, times))
    data = {"networks": [*map(_written, NETWORKS)], "expected": expected, "counted": counted, "times": times}
    return Finding(claims, data | {"timed": f"{_written(config.timed_network)}, batch {config.timed_batch}"})


def _claims_of_operations(expected: list[dict[str, float]], counted: list[dict[str, float]]) -> list[Claim]:
    claims = [
        Claim(
            f"operations of {short} {_written(sizes)}",
            f"For {_written(sizes)} {words} {theory[what]:.4f} times the operations of loss and gradient.",
            "=",
            theory[what],
            source,
            ours[what],
            "XLA's count; 2 % for biases, activations and the loss, which the formula leaves out",
            tolerance=0.02 * theory[what],
            exact=True,
        )
        for sizes, theory, ours in zip(NETWORKS, expected, counted, strict=True)
        for what, short, words, source in (
            (HESSIAN, "Hv", "H v takes", "derived: (8 P - 5 n_0 n_1 - n_1 n_2) / (3 P - n_0 n_1) (Pearlmutter, 1994)"),
            (NORMS, "norms", "the norms take", "derived: (2 P - n_0 n_1) / (3 P - n_0 n_1) (Goodfellow, 2015)"),
        )
        if what == HESSIAN or sizes[0] > 2
    ]
    most = max(ours[NORMS] for ours in counted)
    claims.append(
        Claim(
            "operations of norms",
            "The norm of every example's gradient costs less than one gradient of the batch.",
            "<=",
            1.0,
            "Goodfellow, 2015: every delta, which backprop computes, and one multiplication for each unit",
            most,
            "XLA's count, the worst of four networks; in the tiny one the squares of h and delta are a tenth of it",
            exact=True,
        )
    )
    return claims


def _claims_of_time(config: Config, times: dict[str, float]) -> list[Claim]:
    how = f"{_written(config.timed_network)}, batch {config.timed_batch}, median of {config.rounds} rounds"
    return [
        Claim(
            "time of Hv",
            "A product with the Hessian takes about the time of two gradients.",
            "=",
            2.0,
            "Pearlmutter, 1994: about as much as the gradient, to which it comes; by count it is "
            f"{expected_ratios(config.timed_network)[HESSIAN]:.2f} gradients, alone",
            times[HESSIAN],
            f"{how}; 0.6 for what is no matrix product",
            tolerance=0.6,
        ),
        Claim(
            "time of norms",
            "The norm of every example's gradient takes at most the time of one gradient of the batch.",
            "<=",
            1.0,
            f"Goodfellow, 2015; by count it is {expected_ratios(config.timed_network)[NORMS]:.2f} gradients",
            times[NORMS],
            how,
        ),
        Claim(
            "time of formed gradients",
            "Forming every example's gradient first takes longer than one gradient of the batch.",
            ">=",
            1.0,
            "derived: the same products, written out for every example and not summed",
            times[FORMED],
            f"{how}; jax.vmap of jax.grad",
        ),
    ]


def expected_ratios(sizes: tuple[int, ...]) -> dict[str, float]:
    """The matrix products of both derivatives over those of a gradient, for ReLU and a hidden layer or more."""
    P, first, second = sum(n * m for n, m in pairwise(sizes)), sizes[0] * sizes[1], sizes[1] * sizes[2]
    gradient = 3 * P - first
    return {HESSIAN: (8 * P - 5 * first - second) / gradient, NORMS: (2 * P - first) / gradient}


def functions() -> dict[str, Callable[..., Any]]:
    """The gradient first, and what is compared with it, of (params, x, labels, v)."""
    return {
        "gradient": lambda params, x, labels, v: mlp_jax.backprop(params, x, labels),
        HESSIAN: lambda params, x, labels, v: mlp_jax.hessian_vector_product(params, x, labels, v),
        NORMS: lambda params, x, labels, v: mlp_jax.per_example_gradient_norms(params, x, labels),
        FORMED: lambda params, x, labels, v: derivatives_by_autodiff.per_example_gradient_norms(params, x, labels),
    }


def counted_ratios(sizes: tuple[int, ...], batch: int) -> dict[str, float]:
    """XLA's count for each function over its count for the gradient."""
    arguments = jax.eval_shape(lambda: _arguments(jax.random.key(0), sizes, batch))  # shapes are all that counts
    gradient, *others = (operations(function, *arguments) for function in functions().values())
    return {name: count / gradient for name, count in zip(list(functions())[1:], others, strict=True)}


def timed_ratios(config: Config, key: jax.Array) -> dict[str, float]:
    """The time of each function over that of the gradient; that which fills the memory apart, for the caches' sake."""
    arguments = _arguments(key, config.timed_network, config.timed_batch)
    gradient, *others, formed = map(jax.jit, functions().values())
    ratios = times_over_first((gradient, *others), arguments, config.rounds)
    ratios += times_over_first((gradient, formed), arguments, config.rounds)
    return dict(zip(list(functions())[1:], ratios, strict=True))


def _arguments(key: jax.Array, sizes: tuple[int, ...], batch: int) -> tuple[Any, ...]:
    """Parameters, x, labels, and a direction."""
    of_params, of_v, of_x = jax.random.split(key, 3)
    params, v = mlp_jax.init_params(of_params, sizes), mlp_jax.init_params(of_v, sizes)
    return params, jax.random.normal(of_x, (batch, sizes[0])), jnp.arange(batch) % sizes[-1], v


def _written(sizes: tuple[int, ...]) -> str:
    return "-".join(map(str, sizes))


def picture(data: dict[str, Any]) -> Figure:
    """Operations by network, and the time of one, as bars."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained", width_ratios=(3, 2))
    colours = {HESSIAN: "tab:blue", NORMS: "tab:green", FORMED: "tab:orange"}
    positions = np.arange(len(data["networks"]))
    for shift, name in ((-0.2, HESSIAN), (0.2, NORMS)):
        counted = [ratios[name] for ratios in data["counted"]]
        left.bar(positions + shift, counted, 0.36, color=colours[name], label=f"{name}, XLA's count")
        for position, ratios in zip(positions + shift, data["expected"], strict=True):
            label = "matrix products by hand" if (position, name) == (positions[0] + shift, NORMS) else None
            left.plot((position - 0.2, position + 0.2), (ratios[name],) * 2, color="black", lw=1.5, label=label)
    left.set_xticks(positions, data["networks"], fontsize=8)
    left.set(ylabel="operations, in gradients", ylim=(0, 3.4), title="Operations")
    names = list(data["times"])
    right.barh(names, list(data["times"].values()), color=[colours[name] for name in names])
    for row, value in enumerate(data["times"].values()):
        right.text(value * 1.05, row, f"{value:.2g}", va="center", fontsize=8)
    right.set_yticks(range(len(names)), [name.replace(", ", ",\n").replace(" with", "\nwith") for name in names])
    right.invert_yaxis()
    right.set(xscale="log", xlabel="time, in gradients", title=f"Time, {data['timed']}")
    right.set_xlim(0.1, 3 * max(data["times"].values()))
    right.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    right.tick_params(axis="y", labelsize=8)
    for axes in (left, right):
        axes.axhline(1, color="black", lw=0.8, ls=":") if axes is left else axes.axvline(
            1, color="black", lw=0.8, ls=":"
        )
        axes.grid(axis="y" if axes is left else "x", alpha=0.3)
        axes.set_axisbelow(True)
    left.legend(fontsize=8, ncols=1, loc="upper right")
    return figure
