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
import matplotlib.pyplot as plt
import numpy as np
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

import mlp_jax
from experiments.protocol import Claim, Finding, Progress
from mlp_jax import autodiff, backprop

FORMULA = (
    r"\frac{\mathrm{operations}(\mathcal{L}, \nabla \mathcal{L})}{\mathrm{operations}(\mathcal{L})}"
    r" = 3 - \frac{n_0 n_1}{P}, \qquad P = \sum_{l} n_{l-1} n_l"
)
CAPTION = (
    "Time of the whole gradient, in forward passes, over the number of parameters. Backprop costs the same few forward "
    "passes however many parameters there are; forward mode and finite differences cost one or two for each of them."
)

NETWORKS = ((784, 128, 10), (784, 512, 512, 10), (784, 1024, 1024, 10), (2, 32, 32, 2))
METHODS = ("backprop", "forward mode", "finite differences")


@dataclass(frozen=True)
class Config:
    """The network is varied, the rest is held fixed."""

    counted_batch: int = 128
    timed_batch: int = 256
    widths: tuple[int, ...] = (8, 16, 32, 64, 96)
    passes: int = 200  # forward, and of backprop, that are timed together
    rounds: int = 5


FULL = Config()
QUICK = Config(widths=(8, 32), rounds=3)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Count the operations of four networks, and time three ways to a gradient."""
    counted = {sizes: counted_ratios(sizes, config.counted_batch) for sizes in NETWORKS}
    progress(0.2)
    parameters, ratios = [], []
    for i, width in enumerate(config.widths):
        programs, arguments = programs_of((16, width, width, 10), config.timed_batch, config.passes, key)
        back, *others = times_over_first(programs, arguments, config.rounds)
        ratios.append([back, *(other * config.passes for other in others)])
        parameters.append(arguments[0].size)
        progress(0.2 + 0.8 * (i + 1) / len(config.widths))
    by_method = dict(zip(METHODS, np.transpose(ratios).tolist(), strict=True))
    claims = (
        *(_claim_of_operations(sizes, ratios) for sizes, ratios in counted.items()),
        *_claims_of_time(config, parameters, by_method),
    )
    return Finding(claims, {"parameters": parameters, "forward passes": by_method})


def _claim_of_operations(sizes: tuple[int, ...], ratios: dict[str, float]) -> Claim:
    expected = expected_ratio(sizes)
    farthest = max(ratios.values(), key=lambda ratio: abs(ratio - expected))
    name = "-".join(map(str, sizes))
    return Claim(
        f"operations {name}",
        f"Loss and gradient of {name} take {expected:.4f} times the operations of the loss.",
        "=",
        expected,
        "derived: 3 - n_0 n_1 / P matrix products of the size of the forward pass",
        farthest,
        "XLA's count, of the gradient by hand or by jax.grad, whichever is farther off; 2 % for biases, activations "
        "and the loss, which the formula leaves out",
        tolerance=0.02 * expected,
        exact=True,
    )


def _claims_of_time(config: Config, parameters: list[int], by_method: dict[str, list[float]]) -> list[Claim]:
    how = f"16-w-w-10 ReLU, w = {config.widths}, batch {config.timed_batch}, median of {config.rounds} rounds"
    claims = [
        Claim(
            "time of backprop",
            "Backprop takes at most five times as long as a forward pass, however many the parameters.",
            "<=",
            5.0,
            "Griewank & Walther, 2008: a small multiple; Baur & Strassen, 1983, prove 3 for multiplications",
            max(by_method["backprop"]),
            f"the worst network; {how}",
        )
    ]
    claims += [
        Claim(
            f"growth of {name}",
            f"The forward passes that {name} takes the time of grow like the number of parameters.",
            "=",
            1.0,
            source,
            float(np.polyfit(np.log(parameters), np.log(by_method[name]), 1)[0]),
            f"log-log slope, weights and biases counted; {how}; small networks pay for more than their arithmetic",
            tolerance=0.15,
        )
        for name, source in (
            ("forward mode", "derived: one jvp a parameter, each of one to three forward passes"),
            ("finite differences", "derived: one forward pass a parameter and one more"),
        )
    ]
    claims.append(
        Claim(
            "forward mode over backprop",
            f"With {parameters[-1]:,} parameters forward mode takes {parameters[-1] / 5:,.0f} times as long as "
            "backprop or more.",
            ">=",
            parameters[-1] / 5,
            f"derived: {parameters[-1]:,} parameters of at least one forward pass each, over at most five",
            by_method["forward mode"][-1] / by_method["backprop"][-1],
            how,
        )
    )
    return claims


# ---- operations


def expected_ratio(sizes: tuple[int, ...]) -> float:
    """3 - n_0 n_1 / P."""
    return 3 - sizes[0] * sizes[1] / sum(n * m for n, m in pairwise(sizes))


def counted_ratios(sizes: tuple[int, ...], batch: int) -> dict[str, float]:
    """XLA's count for loss and gradient over its count for the loss, by hand and by jax.grad."""
    params = jax.eval_shape(lambda: mlp_jax.init_params(jax.random.key(0), sizes))  # shapes are all that counts
    x, labels = jax.eval_shape(lambda: (jnp.zeros((batch, sizes[0])), jnp.zeros(batch, int)))
    loss = operations(_loss, params, x, labels)
    return {
        name: operations(gradient, params, x, labels) / loss
        for name, gradient in (("by hand", backprop), ("jax.grad", autodiff))
    }


def operations(function: Callable[..., Any], *arguments: Any) -> float:
    """The floating-point operations of a compiled function, as XLA counts them."""
    counted: Any = jax.jit(function).lower(*arguments).compile().cost_analysis()
    return counted["flops"]


def _loss(params: Any, x: jax.Array, labels: jax.Array) -> jax.Array:
    return mlp_jax.cross_entropy(mlp_jax.forward(params, x), labels)


# ---- time


def programs_of(
    sizes: tuple[int, ...], batch: int, passes: int, key: jax.Array
) -> tuple[tuple[Callable[..., Any], ...], tuple[jax.Array, ...]]:
    """Compiled functions of (theta, x, labels), and those arguments.

    The first two make many passes, forward or backprop's, each at a slightly other theta; the last two one gradient.
    """
    of_params, of_x = jax.random.split(key)
    theta, unravel = ravel_pytree(jax.jit(lambda key: mlp_jax.init_params(key, sizes))(of_params))
    x, labels = jax.random.normal(of_x, (batch, sizes[0])), jnp.arange(batch) % sizes[-1]
    h = 1e-3

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


def times_over_first(programs: tuple[Callable[..., Any], ...], arguments: tuple[Any, ...], rounds: int) -> list[float]:
    """The median over rounds of each program's time over that of the first, in the same round."""
    for program in programs:
        jax.block_until_ready(program(*arguments))  # compiled before it is timed
    times = [[_seconds(program, arguments) for program in programs] for _ in range(rounds)]
    return [float(np.median([row[i] / row[0] for row in times])) for i in range(1, len(programs))]


def _seconds(program: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(program(*arguments))
    return time.perf_counter() - start


# ---- picture


def picture(data: dict[str, Any]) -> Figure:
    """Time in forward passes over the number of parameters, on log axes."""
    figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    parameters = np.array(data["parameters"], float)
    styles = {
        "finite differences": ("tab:orange", "s-"),
        "forward mode": ("tab:purple", "^-"),
        "backprop": ("tab:blue", "o-"),
    }
    for name, (color, style) in styles.items():
        axes.plot(parameters, data["forward passes"][name], style, color=color, label=name)
    axes.plot(parameters, parameters + 1, ":", color="black", lw=1, label="one forward pass a parameter, and one")
    axes.axhspan(2, 3, color="tab:blue", alpha=0.15, lw=0, label="backprop's operations: 2 to 3 forward passes")
    axes.set(xscale="log", yscale="log", xlabel="parameters, weights and biases", ylabel="time, in forward passes")
    axes.set_title("Time of the whole gradient")
    axes.set_xticks((300, 1000, 3000, 10000), ("300", "1,000", "3,000", "10,000"))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center right", bbox_to_anchor=(1, 0.42))
    return figure
