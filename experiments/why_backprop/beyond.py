"""What lies beyond the gradient, in gradients: a product with the Hessian, and the norm of every example's gradient.

Operations: XLA's own count for the compiled derivative, over that for loss and gradient, of five ReLU networks. Theory
counts the matrix products, with P = sum of n_{l-1} n_l over the layers. A gradient has h W, h^T delta and, but in the
first layer, delta W^T: 3 P - n_0 n_1. H v applies R, the derivative along v, to each of them (Pearlmutter, 1994):
R{h W} = R{h} W + h V and R{delta W^T} are two more products, and R{h^T delta} is two in place of one; in the first
layer, where R{h} = 0 and no delta goes on, three remain. ReLU saves n_1 n_2, since phi'' = 0 leaves delta_1 out of all
terms. The norms need every delta, and in place of h^T delta the squares of h and delta, N of them for an example
(Goodfellow, 2015). Time: the same functions and the gradient, compiled and called in turn, round after round, on one
network; the median of the rounds' ratios counts. Beside them the norms of gradients that jax.vmap of jax.grad forms
first.
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
from mlp_jax.derivatives import by_autodiff

FORMULA = (
    r"\frac{\mathrm{operations}(H v)}{\mathrm{operations}(\nabla \mathcal{L})}"
    r" = \frac{8 P - 5 n_0 n_1 - n_1 n_2}{3 P - n_0 n_1}, \qquad"
    r" \frac{\mathrm{operations}(\| g_1 \|, \ldots, \| g_B \|)}{\mathrm{operations}(\nabla \mathcal{L})}"
    r" = \frac{2 P - n_0 n_1 + N}{3 P - n_0 n_1}, \quad N = \sum_l (n_{l-1} + n_l)"
)
CAPTION = (
    "The cost of other derivatives, in gradients. A product with the Hessian costs about two, in deep networks up to "
    "8/3; the norm of every example's gradient less than one, unless these gradients are formed first."
)

DEEP = (128,) * 8 + (10,)
COUNTED = (*NETWORKS, DEEP)
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
    """Count the operations on five networks, and time the same functions on one."""
    counted = [counted_ratios(sizes, config.counted_batch) for sizes in COUNTED]
    progress(0.4)
    times = timed_ratios(config, key)
    expected = [expected_ratios(sizes) for sizes in COUNTED]
    claims = (*_claims_of_operations(expected, counted), *_claims_of_time(config, times))
    data = {"networks": [*map(_written, COUNTED)], "expected": expected, "counted": counted, "times": times}
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
            f"XLA's count; {tolerance:.0%} for {reason}, which the formula leaves out",
            tolerance=tolerance * theory[what],
            exact=True,
        )
        for sizes, theory, ours in zip(COUNTED, expected, counted, strict=True)
        for what, short, words, source, tolerance, reason in (
            (
                HESSIAN,
                "Hv",
                "H v takes",
                "derived: (8 P - 5 n_0 n_1 - n_1 n_2) / (3 P - n_0 n_1) (Pearlmutter, 1994)",
                0.02,
                "biases, activations and the loss",
            ),
            (
                NORMS,
                "norms",
                "the norms take",
                "derived: (2 P - n_0 n_1 + N) / (3 P - n_0 n_1) (Goodfellow, 2015)",
                0.02 if sizes[0] > 2 else 0.1,
                "biases, activations, the loss, and the scale of delta",
            ),
        )
    ]
    claims.append(
        Claim(
            "operations of norms",
            "The norm of every example's gradient costs less than one gradient of the batch.",
            "<=",
            1.0,
            "Goodfellow, 2015: every delta, which backprop computes, and a square for each h and delta",
            max(ours[NORMS] for ours in counted),
            "XLA's count, the worst of the networks",
            exact=True,
        )
    )
    return claims


def _claims_of_time(config: Config, times: dict[str, float]) -> list[Claim]:
    how = f"{_written(config.timed_network)}, batch {config.timed_batch}, median of {config.rounds} rounds"
    theory = expected_ratios(config.timed_network)
    return [
        Claim(
            "time of Hv",
            "A product with the Hessian takes at most the time of 8/3 gradients.",
            "<=",
            8 / 3,
            "derived: eight matrix products a layer over three; Pearlmutter, 1994: about as much as the gradient, to "
            f"which it comes; counted for this network {theory[HESSIAN]:.2f}",
            times[HESSIAN],
            how,
        ),
        Claim(
            "time of norms",
            "The norm of every example's gradient takes at most the time of one gradient of the batch.",
            "<=",
            1.0,
            f"Goodfellow, 2015; counted for this network {theory[NORMS]:.2f}",
            times[NORMS],
            how,
        ),
    ]


def expected_ratios(sizes: tuple[int, ...]) -> dict[str, float]:
    """What theory counts for both derivatives, over its count for a gradient; with ReLU and hidden layers."""
    layers = list(pairwise(sizes))
    P, N, first = sum(n * m for n, m in layers), sum(n + m for n, m in layers), sizes[0] * sizes[1]
    gradient = 3 * P - first
    return {HESSIAN: (8 * P - 5 * first - sizes[1] * sizes[2]) / gradient, NORMS: (2 * P - first + N) / gradient}


def functions() -> dict[str, Callable[..., Any]]:
    """The gradient first, and what is compared with it, of (params, x, labels, v)."""
    return {
        "gradient": lambda params, x, labels, v: mlp_jax.backprop(params, x, labels),
        HESSIAN: lambda params, x, labels, v: mlp_jax.derivatives.hessian_vector_product(params, x, labels, v),
        NORMS: lambda params, x, labels, v: mlp_jax.derivatives.per_example_gradient_norms(params, x, labels),
        FORMED: lambda params, x, labels, v: by_autodiff.per_example_gradient_norms(params, x, labels),
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
    params = mlp_jax.init_params(of_params, sizes)
    v = mlp_jax.init_params(of_v, sizes, bias_init=jax.nn.initializers.normal())
    return params, jax.random.normal(of_x, (batch, sizes[0])), jnp.arange(batch) % sizes[-1], v


def _written(sizes: tuple[int, ...]) -> str:
    """784-128-10, and 8 x 128-10 for the deep network."""
    return "-".join(map(str, sizes)) if sizes != DEEP else f"{len(DEEP) - 1} x {DEEP[0]}-{DEEP[-1]}"


def picture(data: dict[str, Any]) -> Figure:
    """Operations by network, and the time of one, as bars."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained", width_ratios=(3, 2))
    colours = {HESSIAN: "tab:blue", NORMS: "tab:green", FORMED: "tab:orange"}
    positions = np.arange(len(data["networks"]))
    for shift, name in ((-0.2, HESSIAN), (0.2, NORMS)):
        counted = [ratios[name] for ratios in data["counted"]]
        left.bar(positions + shift, counted, 0.36, color=colours[name], label=f"{name}, XLA's count")
        for position, ratios in zip(positions + shift, data["expected"], strict=True):
            label = "theory" if (position, name) == (positions[0] + shift, NORMS) else None
            left.plot((position - 0.2, position + 0.2), (ratios[name],) * 2, color="black", lw=1.5, label=label)
    left.set_xticks(positions, [name.replace("784-", "784-\n") for name in data["networks"]], fontsize=8)
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
    left.axhline(1, color="black", lw=0.8, ls=":")
    right.axvline(1, color="black", lw=0.8, ls=":")
    for axes, axis in ((left, "y"), (right, "x")):
        axes.grid(axis=axis, alpha=0.3)
        axes.set_axisbelow(True)
    left.legend(fontsize=8, ncols=1, loc="upper right")
    return figure
