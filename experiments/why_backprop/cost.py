"""What a gradient costs: operations and time, by backprop, by forward mode and by finite differences.

Operations: XLA's own count for the compiled program of the loss and its gradient, over that of the loss alone, for four
ReLU networks. Theory counts the matrix products: a forward pass has one a layer, h W; a backward pass two, h^T delta
and delta W^T, but for the first layer, whose input needs no gradient. Time: the whole gradient of 16-w-w-10 networks of
growing width w, over the time of one forward pass. Backprop does it in one sweep. Forward mode takes one jvp for every
parameter, and finite differences one more forward pass for every parameter and one without a change; both one after
another, inside one compiled program; so are 200 forward passes and 200 of backprop, whose time is divided by their
number. The programs are timed in turn, round after round; the median of the rounds' ratios counts.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, exact, farthest, largest
from experiments.tasks import generator
from mlp_jax import Layer, Params, autodiff, backprop

FORMULA = (
    r"\frac{\mathrm{operations}(\mathcal{L}, \nabla \mathcal{L})}{\mathrm{operations}(\mathcal{L})}"
    r" = 3 - \frac{n_0 n_1}{P}, \qquad P = \sum_{l} n_{l-1} n_l"
)
NETWORKS = ((784, 128, 10), (784, 512, 512, 10), (784, 1024, 1024, 10), (2, 32, 32, 2))
METHODS = ("backprop", "forward mode", "finite differences")
STEP = 1e-3  # of the finite differences


@dataclass(frozen=True)
class Config:
    """The network is varied."""

    networks: tuple[tuple[int, ...], ...] = NETWORKS
    counted_batch: int = 128
    timed_batch: int = 256
    widths: tuple[int, ...] = (8, 16, 32, 64, 96)
    passes: int = 200  # forward, and of backprop, that are timed together
    rounds: int = 5


FULL = Config()
QUICK = Config(networks=NETWORKS[1:2], widths=(16,), passes=50, rounds=3)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Count the operations of networks, and time three ways to a gradient.

    Returns:
      "operations" by hand and by jax.grad, over those of the loss (networks, 2), and the "forward passes" that take as
      long as each method (methods, widths, rounds).
    """
    counted = [counted_ratios(sizes, config.counted_batch) for sizes in config.networks]
    progress(0.2)
    parameters, ratios = [], []
    for i, width in enumerate(config.widths):
        programs, arguments = programs_of((16, width, width, 10), config.timed_batch, config.passes, generator(key))
        back, *others = times_over_first(programs, arguments, config.rounds)
        ratios.append([back, *(config.passes * other for other in others)])
        parameters.append(arguments[0].size)
        progress(0.2 + 0.8 * (i + 1) / len(config.widths))
    return {
        "network": np.array([written(sizes) for sizes in config.networks]),
        "operations": np.array(counted),
        "method": np.array(METHODS),
        "width": np.array(config.widths),
        "parameters": np.array(parameters),
        "forward passes": np.moveaxis(np.array(ratios), 0, 1),
    }


def written(sizes: tuple[int, ...]) -> str:
    """Return a network's name.

    >>> written((784, 128, 10))
    '784-128-10'
    """
    return "-".join(map(str, sizes))


def expected_ratio(sizes: tuple[int, ...]) -> float:
    """Return 3 - n_0 n_1 / P."""
    return 3 - sizes[0] * sizes[1] / sum(n * m for n, m in pairwise(sizes))


def expected(n: Numbers, network: str) -> float:
    """Return theory's ratio for a network of that name."""
    return expected_ratio(tuple(map(int, network.split("-"))))


@equals(
    expected,
    "Loss and gradient of {network} take {expected:.4f} times the operations of the loss.",
    within=lambda n, network: 0.02 * expected(n, network),
    network=tuple(map(written, NETWORKS)),
    source="derived: 3 - n_0 n_1 / P matrix products of the size of the forward pass",
    how="XLA's count, of the gradient by hand or by jax.grad, whichever is farther off; 2 % for biases, activations "
    "and the loss, which the formula leaves out",
    must=True,
)
def operations(n: Numbers, network: str) -> Statistic:
    return farthest(n["operations"][n.at(network=network)], expected(n, network))


def passes(n: Numbers, method: str) -> np.ndarray:
    """Return the forward passes that take as long as a method, the median of the rounds (widths,)."""
    return np.median(n["forward passes"][n.at(method=method)], axis=-1)


TIMED = "16-w-w-10 ReLU, w = {n.config.widths}, batch {n.config.timed_batch}, median of {n.config.rounds} rounds"


@at_most(
    5,
    "Backprop takes at most five times as long as a forward pass, however many the parameters.",
    source="Griewank & Walther, 2008: a small multiple; Baur & Strassen, 1983, prove 3 for multiplications",
    how=TIMED,
)
def time_of_backprop(n: Numbers) -> Statistic:
    return largest(passes(n, "backprop"))


@equals(
    1,
    "The cost of {method}, in forward passes, grows like the number of parameters.",
    within=0.15,
    method=METHODS[1:],
    source="derived: for each parameter one jvp, of one to three forward passes, or one forward pass",
    how="log-log slope, weights and biases counted; " + TIMED + "; small networks pay for more than their arithmetic",
)
def growth_of(n: Numbers, method: str) -> Statistic:
    n.at(width=96)  # a quick run has too few widths
    return exact(np.polyfit(np.log(n["parameters"]), np.log(passes(n, method)), 1)[0])


@at_least(
    11_914 / 5,
    "With 11,914 parameters forward mode takes 2,383 times as long as backprop or more.",
    source="derived: 11,914 parameters of at least one forward pass each, over at most five",
    how=TIMED,
)
def forward_mode_over_backprop(n: Numbers) -> Statistic:
    i = n.at(parameters=11_914)
    return exact(passes(n, "forward mode")[i] / passes(n, "backprop")[i])


def picture(n: Numbers) -> Figure:
    """Draw the time in forward passes over the number of parameters, on log axes."""
    figure, axes = panels(figsize=(6.5, 4.2))
    styles = {
        "finite differences": ("tab:orange", "s-"),
        "forward mode": ("tab:purple", "^-"),
        "backprop": ("tab:blue", "o-"),
    }
    for name, (color, style) in styles.items():
        axes.plot(n["parameters"], passes(n, name), style, color=color, label=name)
    axes.plot(
        n["parameters"], n["parameters"] + 1, ":", color="black", lw=1, label="a forward pass per parameter, and one"
    )
    axes.axhspan(2, 3, color="tab:blue", alpha=0.15, lw=0, label="backprop's operations: 2 to 3 forward passes")
    axes.set(xscale="log", yscale="log", xlabel="parameters, weights and biases", ylabel="time, in forward passes")
    axes.set_title("Time of the whole gradient")
    axes.set_xticks((300, 1000, 3000, 10000), ("300", "1,000", "3,000", "10,000"))
    axes.minorticks_off()
    axes.legend(fontsize=8, loc="center right", bbox_to_anchor=(1, 0.42))
    return figure


# ---- operations


def counted_ratios(sizes: tuple[int, ...], batch: int) -> tuple[float, float]:
    """Return XLA's count for loss and gradient over its count for the loss, by hand and by jax.grad."""
    params = shapes_of(sizes)
    x, labels = jax.ShapeDtypeStruct((batch, sizes[0]), np.float32), jax.ShapeDtypeStruct((batch,), np.int32)
    loss = flops(_loss, params, x, labels)
    return flops(backprop, params, x, labels) / loss, flops(autodiff, params, x, labels) / loss


def shapes_of(sizes: tuple[int, ...]) -> Params:
    """Return the shapes of a network's parameters: they are all that counts."""
    shape = jax.ShapeDtypeStruct
    return tuple(Layer(shape((a, b), np.float32), shape((b,), np.float32)) for a, b in pairwise(sizes))  # type: ignore[arg-type]


def flops(function: Callable[..., Any], *arguments: Any) -> float:
    """Return the floating-point operations of a compiled function, as XLA counts them."""
    counted: Any = jax.jit(function).lower(*arguments).compile().cost_analysis()
    return counted["flops"]


def _loss(params: Any, x: jax.Array, labels: jax.Array) -> jax.Array:
    return mlp_jax.cross_entropy(mlp_jax.forward(params, x), labels)


# ---- time


def programs_of(
    sizes: tuple[int, ...], batch: int, passes: int, rng: np.random.Generator
) -> tuple[tuple[Callable[..., Any], ...], tuple[np.ndarray, ...]]:
    """Return compiled functions of (theta, x, labels), and those arguments.

    The first two make many passes, forward or backprop's, each at a slightly other theta; the last two one gradient.
    """
    unravel = _unravel(sizes)
    parts = [(rng.standard_normal(a * b) * (2 / a) ** 0.5, np.zeros(b)) for a, b in pairwise(sizes)]
    theta = np.concatenate([part for layer in parts for part in layer]).astype(np.float32)
    x = rng.standard_normal((batch, sizes[0])).astype(np.float32)
    labels = np.arange(batch) % sizes[-1]
    h = STEP

    def loss(theta: jax.Array, x: jax.Array, labels: jax.Array) -> jax.Array:
        return _loss(unravel(theta), x, labels)

    def forward(theta: jax.Array, x: jax.Array, labels: jax.Array) -> jax.Array:
        return jax.lax.map(lambda i: loss(theta.at[i].add(h), x, labels), jnp.arange(passes))

    def by_backprop(theta: jax.Array, x: jax.Array, labels: jax.Array) -> jax.Array:
        return jax.lax.map(
            lambda i: ravel_pytree(backprop(unravel(theta.at[i].add(h)), x, labels)[1])[0], jnp.arange(passes)
        )

    def by_forward_mode(theta: jax.Array, x: jax.Array, labels: jax.Array) -> jax.Array:
        def entry(i: jax.Array) -> jax.Array:
            direction = jnp.zeros_like(theta).at[i].set(1)
            return jax.jvp(lambda theta: loss(theta, x, labels), (theta,), (direction,))[1]

        return jax.lax.map(entry, jnp.arange(theta.size))

    def by_finite_differences(theta: jax.Array, x: jax.Array, labels: jax.Array) -> jax.Array:
        at_theta = loss(theta, x, labels)
        return jax.lax.map(lambda i: (loss(theta.at[i].add(h), x, labels) - at_theta) / h, jnp.arange(theta.size))

    programs = tuple(map(jax.jit, (forward, by_backprop, by_forward_mode, by_finite_differences)))
    return programs, (theta, x, labels)


def times_over_first(programs: tuple[Callable[..., Any], ...], arguments: tuple[Any, ...], rounds: int) -> np.ndarray:
    """Return each program's time over that of the first, in the same round (programs - 1, rounds)."""
    for program in programs:
        jax.block_until_ready(program(*arguments))  # compiled before it is timed
    times = np.array([[_seconds(program, arguments) for program in programs] for _ in range(rounds)])
    return (times[:, 1:] / times[:, :1]).T


def _seconds(program: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(program(*arguments))
    return time.perf_counter() - start


def _unravel(sizes: tuple[int, ...]) -> Callable[[jax.Array], Params]:
    """Return the function that cuts a flat theta into a network's parameters."""
    ends = np.cumsum([0, *(a * b + b for a, b in pairwise(sizes))])

    def unravel(theta: jax.Array) -> Params:
        return tuple(
            Layer(theta[start : start + a * b].reshape(a, b), theta[start + a * b : start + a * b + b])
            for start, (a, b) in zip(ends, pairwise(sizes), strict=False)
        )

    return unravel
