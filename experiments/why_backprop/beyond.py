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
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_most, equals
from experiments.frame.numbers import NotMeasured, Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, exact, largest
from experiments.tasks import generator
from experiments.why_backprop.cost import NETWORKS, flops, shapes_of, times_over_first, written
from mlp_jax import Layer
from mlp_jax.derivatives import by_autodiff

FORMULA = (
    r"\frac{\mathrm{operations}(H v)}{\mathrm{operations}(\nabla \mathcal{L})}"
    r" = \frac{8 P - 5 n_0 n_1 - n_1 n_2}{3 P - n_0 n_1}, \qquad"
    r" \frac{\mathrm{operations}(\| g_1 \|, \ldots, \| g_B \|)}{\mathrm{operations}(\nabla \mathcal{L})}"
    r" = \frac{2 P - n_0 n_1 + N}{3 P - n_0 n_1}, \quad N = \sum_l (n_{l-1} + n_l)"
)
DEEP = (128,) * 8 + (10,)
COUNTED = {**{written(sizes): sizes for sizes in NETWORKS}, "8 x 128-10": DEEP}
HESSIAN, NORMS, FORMED = "product with the Hessian", "norm of every gradient", "the norms, gradients formed first"


@dataclass(frozen=True)
class Config:
    """The derivative and the network are varied, the rest is held fixed."""

    networks: tuple[str, ...] = tuple(COUNTED)
    counted_batch: int = 128
    timed_network: tuple[int, ...] = (784, 512, 512, 10)
    timed_batch: int = 256
    rounds: int = 21


FULL = Config()
QUICK = Config(networks=tuple(COUNTED)[1:2], rounds=0)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, Any]:
    """Count the operations on networks, and time the same functions on one.

    Returns:
      "operations" of H v and of the norms, over those of the gradient (networks, 2), and the "time" of these and of the
      norms of gradients that are formed first, in gradients (3, rounds).
    """
    counted = [counted_ratios(COUNTED[name], config.counted_batch) for name in config.networks]
    progress(0.4)
    untimed = NotMeasured("a quick run takes no times: run without --quick")
    return {
        "network": np.array(config.networks),
        "operations": np.array(counted),
        "function": np.array([HESSIAN, NORMS, FORMED]),
        "time": timed_ratios(config, generator(key)) if config.rounds else untimed,
    }


def theory(n: Numbers, network: str, function: str) -> float:
    """Return theory's ratio for a network of that name."""
    return expected_ratios(COUNTED[network])[function]


LEFT_OUT = "XLA's count; 2 % for biases, activations and the loss, which the formula leaves out"


@equals(
    lambda n, network: theory(n, network, HESSIAN),
    "For {network} H v takes {expected:.4f} times the operations of loss and gradient.",
    within=lambda n, network: 0.02 * theory(n, network, HESSIAN),
    network=tuple(COUNTED),
    source="derived: (8 P - 5 n_0 n_1 - n_1 n_2) / (3 P - n_0 n_1) (Pearlmutter, 1994)",
    how=LEFT_OUT,
    must=True,
)
def operations_of_Hv(n: Numbers, network: str) -> Statistic:
    return exact(n["operations"][n.at(network=network), 0])


@equals(
    lambda n, network: theory(n, network, NORMS),
    "For {network} the norms take {expected:.4f} times the operations of loss and gradient.",
    within=lambda n, network: (0.1 if network.startswith("2-") else 0.02) * theory(n, network, NORMS),
    network=tuple(COUNTED),
    source="derived: (2 P - n_0 n_1 + N) / (3 P - n_0 n_1) (Goodfellow, 2015)",
    how=LEFT_OUT + ", and 10 % in the smallest network, where the scale of delta counts",
    must=True,
)
def operations_of_norms(n: Numbers, network: str) -> Statistic:
    return exact(n["operations"][n.at(network=network), 1])


@at_most(
    1,
    "The norm of every example's gradient costs less than one gradient of the batch.",
    source="Goodfellow, 2015: every delta, which backprop computes, and a square for each h and delta",
    how="XLA's count",
    must=True,
)
def operations_of_all_norms(n: Numbers) -> Statistic:
    return largest(n["operations"][:, 1])


def seconds(n: Numbers, function: str) -> Statistic:
    """Return a function's time in gradients, the median of the rounds."""
    return exact(np.median(n["time"][n.at(function=function)]))


TIMED = "{n.config.timed_network}, batch {n.config.timed_batch}, median of {n.config.rounds} rounds"


@at_most(
    8 / 3,
    "A product with the Hessian takes at most the time of 8/3 gradients.",
    source="derived: eight matrix products a layer over three; Pearlmutter, 1994: about as much as the gradient, to "
    "which it comes; counted for this network 1.92",
    how=TIMED,
)
def time_of_Hv(n: Numbers) -> Statistic:
    return seconds(n, HESSIAN)


@at_most(
    1,
    "The norm of every example's gradient takes at most the time of one gradient of the batch.",
    source="Goodfellow, 2015; counted for this network 0.59",
    how=TIMED,
)
def time_of_norms(n: Numbers) -> Statistic:
    return seconds(n, NORMS)


def picture(n: Numbers) -> Figure:
    """Draw the operations by network, and the time of one, as bars."""
    figure, (left, right) = panels(1, 2, figsize=(9.5, 3.4), width_ratios=(3, 2))
    colours = {HESSIAN: "tab:blue", NORMS: "tab:green", FORMED: "tab:orange"}
    positions = np.arange(len(n["network"]))
    for i, (shift, name) in enumerate(((-0.2, HESSIAN), (0.2, NORMS))):
        left.bar(positions + shift, n["operations"][:, i], 0.36, color=colours[name], label=f"{name}, XLA's count")
        for position, network in enumerate(n["network"]):
            label = "theory" if (position, name) == (0, NORMS) else None
            x, y = np.array([-0.2, 0.2]) + position + shift, 2 * [theory(n, network, name)]
            left.plot(x, y, color="black", lw=1.5, label=label)
    names = [network.replace("784-", "784-\n") for network in n["network"]]
    left.set_xticks(positions, names, fontsize=8)
    left.set(ylabel="operations, in gradients", ylim=(0, 3.4), title="Operations")
    times = {name: seconds(n, name).value for name in n["function"]}
    right.barh([*times], [*times.values()], color=[colours[name] for name in times])
    for row, value in enumerate(times.values()):
        right.text(value * 1.05, row, f"{value:.2g}", va="center", fontsize=8)
    right.set_yticks(range(len(times)), [name.replace(", ", ",\n").replace(" with", "\nwith") for name in times])
    right.invert_yaxis()
    network = f"{written(n.config.timed_network)}, batch {n.config.timed_batch}"
    right.set(xscale="log", xlabel="time, in gradients", title=f"Time, {network}", xlim=(0.1, 3 * max(times.values())))
    right.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    right.tick_params(axis="y", labelsize=8)
    left.axhline(1, color="black", lw=0.8, ls=":")
    right.axvline(1, color="black", lw=0.8, ls=":")
    left.grid(False, axis="x")
    right.grid(False, axis="y")
    for axes in (left, right):
        axes.set_axisbelow(True)
    left.legend(fontsize=8, ncols=1, loc="upper right")
    return figure


def expected_ratios(sizes: tuple[int, ...]) -> dict[str, float]:
    """Return what theory counts for both derivatives, over its count for a gradient; with ReLU and hidden layers."""
    layers = list(pairwise(sizes))
    P, N, first = sum(n * m for n, m in layers), sum(n + m for n, m in layers), sizes[0] * sizes[1]
    gradient = 3 * P - first
    return {HESSIAN: (8 * P - 5 * first - sizes[1] * sizes[2]) / gradient, NORMS: (2 * P - first + N) / gradient}


def functions() -> dict[str, Callable[..., Any]]:
    """Return the gradient first, and what is compared with it, of (params, x, labels, v)."""
    return {
        "gradient": lambda params, x, labels, v: mlp_jax.backprop(params, x, labels),
        HESSIAN: lambda params, x, labels, v: mlp_jax.derivatives.hessian_vector_product(params, x, labels, v),
        NORMS: lambda params, x, labels, v: mlp_jax.derivatives.per_example_gradient_norms(params, x, labels),
        FORMED: lambda params, x, labels, v: by_autodiff.per_example_gradient_norms(params, x, labels),
    }


def counted_ratios(sizes: tuple[int, ...], batch: int) -> tuple[float, float]:
    """Return XLA's count for H v and for the norms, over its count for the gradient."""
    params = shapes_of(sizes)
    x, labels = jax.ShapeDtypeStruct((batch, sizes[0]), np.float32), jax.ShapeDtypeStruct((batch,), np.int32)
    gradient, hessian, norms, _ = functions().values()
    counts = [flops(function, params, x, labels, params) for function in (gradient, hessian, norms)]
    return counts[1] / counts[0], counts[2] / counts[0]


def timed_ratios(config: Config, rng: np.random.Generator) -> np.ndarray:
    """Return times over the gradient's (functions, rounds); what fills the memory apart, for the caches' sake."""
    arguments = _arguments(rng, config.timed_network, config.timed_batch)
    gradient, *others, formed = map(jax.jit, functions().values())
    return np.concatenate(
        [
            times_over_first((gradient, *others), arguments, config.rounds),
            times_over_first((gradient, formed), arguments, config.rounds),
        ]
    )


def _arguments(rng: np.random.Generator, sizes: tuple[int, ...], batch: int) -> tuple[Any, ...]:
    """Return parameters, x, labels, and a direction."""

    def drawn() -> tuple[Layer, ...]:
        pairs = [(rng.standard_normal((a, b)) * (2 / a) ** 0.5, rng.standard_normal(b)) for a, b in pairwise(sizes)]
        return tuple(Layer(*map(np.float32, pair)) for pair in pairs)  # type: ignore[arg-type]  # it compiles nothing

    x = np.float32(rng.standard_normal((batch, sizes[0])))
    return drawn(), x, np.arange(batch) % sizes[-1], drawn()
