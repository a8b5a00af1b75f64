"""Euler's identities of relu networks: what the forward pass fixes in every layer's gradient.

relu is positively homogeneous, h = z phi'(z), so that without biases <W_l, dL/dW_l> is the same number in every layer,
and the forward pass alone gives it: <z_L, delta_L> = sum (p - y) z_L / B. It is how fast |W_l|^2 falls under gradient
flow, which therefore keeps every difference |W_{l+1}|^2 - |W_l|^2 (Du, Hu & Lee, 2018); a step of gradient descent
changes it by eta^2 (|dW_{l+1}|^2 - |dW_l|^2). With biases <W_{l+1}, dW_{l+1}> = <W_l, dW_l> + <b_l, db_l>. None of it
holds for tanh, which shows that the check can fail.

Identities: digits, He's initialisation, every depth, float64; errors are relative to the sum of |W_ij dW_ij|, by which
rounding grows. Conservation: gradient descent without biases on full batches, for the same time eta * steps.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs
from experiments.why_forward.networks import initial
from mlp_jax import Activation, Layer, Params, backprop, datasets
from mlp_jax.activations import ACTIVATIONS
from mlp_jax.backpropagation import backprop_with_trace

FORMULA = (
    r"\langle W_l, \partial L / \partial W_l \rangle = \langle z_L, \delta_L \rangle \;\; \text{for every } l, \qquad "
    r"\frac{\mathrm{d}}{\mathrm{d}t} \left( \lVert W_{l+1} \rVert^2 - \lVert W_l \rVert^2 \right) = 0"
)
CAPTION = (
    "How far training moves the differences of layers' squared norms, which gradient flow keeps for relu and not for "
    "tanh: a tenth of the learning rate, a tenth of the drift, for relu alone."
)


@dataclass(frozen=True)
class Config:
    """Depth, activation and learning rate are varied, the rest is held fixed."""

    depths: tuple[int, ...] = tuple(range(2, 11))  # weight layers
    width: int = 32
    batch: int = 64
    seeds: int = 10
    hidden: tuple[int, ...] = (32, 32)  # of the trained networks
    examples: int = 256
    rates: tuple[float, ...] = (0.1, 0.01, 0.001)  # a tenth each time
    time: float = 5.0  # learning rate times steps
    trainings: int = 5  # seeds


FULL = Config()
QUICK = Config(depths=(4,), seeds=4, examples=64, rates=(0.01, 0.001), time=0.2, trainings=2)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Check the identities at every depth, then train at several learning rates for the same time."""
    of_identities, of_training = jax.random.split(key)
    with jax.enable_x64(True):
        x, labels = datasets.load_digits(dtype=np.float64).train
        errors: dict[str, list[float]] = {name: [] for name in ("without biases", "with biases", "tanh")}
        for depth in config.depths:
            sizes, runs = (64, *(depth - 1) * (config.width,), 10), (config.seeds,)
            nets = tuple(initial(of_identities, sizes, mlp_jax.relu, runs, bias) for bias in (0.0, 0.5))
            for name, found in over_runs(_identities, nets, (x[: config.batch], labels[: config.batch])).items():
                errors[name] += found.tolist()
        drifts: dict[tuple[str, float], Any] = {}
        for name in ("relu", "tanh"):
            start = initial(of_training, (64, *config.hidden, 10), ACTIVATIONS[name], (config.trainings,))
            for rate in config.rates:
                progress(0.2 + 0.8 * len(drifts) / (2 * len(config.rates)))
                run = partial(_descent, ACTIVATIONS[name], rate, round(config.time / rate))
                drifts[name, rate] = over_runs(run, (start,), (x[: config.examples], labels[: config.examples]))
    return Finding((*_of_identities(config, errors), *_of_drift(config, drifts)), _data(config, drifts))


# ---- identities


def _identities(plain: Params, with_biases: Params, x: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
    """The worst layer's error of each identity."""
    return {
        "without biases": euler_error(plain, x, labels, mlp_jax.relu),
        "with biases": euler_error(with_biases, x, labels, mlp_jax.relu),
        "tanh": euler_error(plain, x, labels, mlp_jax.tanh),
    }


def euler_error(params: Params, x: Any, labels: Any, phi: Activation) -> jax.Array:
    """How far <W_l, dW_l> + <b_l, db_l> is from <W_{l+1}, dW_{l+1}>, or from <z_L, delta_L> at the last layer.

    Relative to the sum of the sizes of the terms on the left; the worst layer.
    """
    s = backprop_with_trace(params, x, labels, phi)
    worst, above = jnp.zeros(()), jnp.vdot(s.forward.z[-1], s.delta[-1])
    for (W, b), (dW, db) in zip(reversed(params), reversed(s.gradients), strict=True):
        size = jnp.sum(jnp.abs(W * dW)) + jnp.sum(jnp.abs(b * db))
        worst = jnp.maximum(worst, jnp.abs(jnp.vdot(W, dW) + jnp.vdot(b, db) - above) / size)
        above = jnp.vdot(W, dW)
    return worst


def _of_identities(config: Config, errors: dict[str, list[float]]) -> list[Claim]:
    networks = f"{min(config.depths)} to {max(config.depths)} layers of {config.width}, {config.seeds} seeds each"
    reason = f"the worst layer, relative to the sum of |W_ij dW_ij|, in float64: rounding; {networks}"
    return [
        Claim(
            "Euler",
            "In a relu network without biases <W_l, dL/dW_l> is <z_L, delta_L> in every layer.",
            "<=",
            1e-12,
            "Du, Hu & Lee (2018); derived: <z, phi'(z) dh> = <h, dh> for h = phi'(z) z",
            max(errors["without biases"]),
            reason,
            seeds=config.seeds,
            exact=True,
        ),
        Claim(
            "Euler with biases",
            "With biases every layer passes on <W_l, dW_l> + <b_l, db_l>.",
            "<=",
            1e-12,
            "derived: z_l = h_{l-1} W_l + b_l in <z_l, delta_l>",
            max(errors["with biases"]),
            reason,
            seeds=config.seeds,
            exact=True,
        ),
        Claim(
            "Euler for tanh",
            "For tanh, which is not homogeneous, it does not hold.",
            ">=",
            1e-6,
            "derived: tanh(z) is not z tanh'(z)",
            min(errors["tanh"]),
            f"the worst layer of the network in which it is smallest, far above rounding; {networks}",
            seeds=config.seeds,
            exact=True,
        ),
    ]


# ---- conservation


def _descent(
    phi: Activation, rate: float, steps: int, params: Params, x: jax.Array, labels: jax.Array
) -> dict[str, jax.Array]:
    """Gradient descent on the weights alone: how the differences of |W_l|^2 drift, and what the steps' squares add."""

    def step(params: Params, _: Any) -> tuple[Params, tuple[jax.Array, jax.Array]]:
        _, gradients = backprop(params, x, labels, phi)
        stepped = tuple(Layer(W - rate * dW, b) for (W, b), (dW, _) in zip(params, gradients, strict=True))
        return stepped, (differences(params), differences(gradients))

    last, (before, of_gradients) = jax.lax.scan(step, params, length=steps)
    of_weights = jnp.concatenate([before, differences(last)[None]])
    return {"drift": of_weights - of_weights[:1], "squares of steps": rate**2 * of_gradients.sum(axis=0)}


def differences(layers: Params) -> jax.Array:
    """|W_{l+1}|^2 - |W_l|^2 of all neighbouring layers."""
    return jnp.diff(jnp.array([jnp.sum(layer.weight**2) for layer in layers]))


def _of_drift(config: Config, drifts: dict[tuple[str, float], Any]) -> list[Claim]:
    coarse, fine = config.rates[-2:]
    sizes = {setting: np.linalg.norm(found["drift"][:, -1], axis=1) for setting, found in drifts.items()}
    ratio = {name: np.median(sizes[name, coarse] / sizes[name, fine]) for name in ("relu", "tanh")}
    accounted = max(
        np.max(np.linalg.norm(found["drift"][:, -1] - found["squares of steps"], axis=1) / sizes[setting])
        for setting, found in drifts.items()
        if setting[0] == "relu"
    )
    reason = (
        f"norm over layers after time {config.time:g}, learning rates {coarse:g} and {fine:g}, median of "
        f"{config.trainings} seeds; 64-{'-'.join(map(str, config.hidden))}-10, {config.examples} digits, float64"
    )
    return [
        Claim(
            "drift per decade",
            "For relu a tenth of the learning rate moves |W_{l+1}|^2 - |W_l|^2 a tenth as far in the same time.",
            "=",
            10.0,
            "Du, Hu & Lee (2018): gradient flow keeps it; derived: a step adds a square, eta^2",
            float(ratio["relu"]),
            f"{reason}; of first order, and the next term is about the larger rate",
            seeds=config.trainings,
            tolerance=1.0,
        ),
        Claim(
            "drift for tanh",
            "For tanh it moves as far however small the learning rate.",
            "=",
            1.0,
            "derived: gradient flow does not keep it",
            float(ratio["tanh"]),
            reason,
            seeds=config.trainings,
            tolerance=0.2,
        ),
        Claim(
            "drift accounted for",
            "The drift of relu is the sum of the steps' own squares, eta^2 (|dW_{l+1}|^2 - |dW_l|^2), and no more.",
            "<=",
            1e-8,
            "derived: |W - eta dW|^2 = |W|^2 - 2 eta <W, dW> + eta^2 |dW|^2, with Euler's identity",
            float(accounted),
            f"relative error, float64: rounding of |W|^2 over a drift of {min(sizes['relu', fine]):.0e}; every "
            f"rate and seed; {reason}",
            seeds=config.trainings,
            exact=True,
        ),
    ]


def _data(config: Config, drifts: dict[tuple[str, float], Any]) -> dict[str, Any]:
    """The drift of the first seed over time, at 50 moments."""
    curves = []
    for (name, rate), found in drifts.items():
        size = np.linalg.norm(found["drift"][0], axis=1)
        marks = np.unique(np.linspace(1, len(size) - 1, 50).astype(int))
        curves.append({"activation": name, "rate": rate, "time": rate * marks, "drift": size[marks]})
    return {"curves": curves}


def picture(data: dict[str, Any]) -> Figure:
    """The drift over time, for both activations and every learning rate."""
    figure, axes = plt.subplots(figsize=(6.5, 4.4), layout="constrained")
    colors = {"relu": "tab:blue", "tanh": "tab:orange"}
    styles = ["-", "--", ":"]
    rates = sorted({curve["rate"] for curve in data["curves"]}, reverse=True)
    for curve in data["curves"]:
        axes.plot(
            curve["time"], curve["drift"], styles[rates.index(curve["rate"]) % 3], color=colors[curve["activation"]],
            label=f"{curve['activation']}, learning rate {curve['rate']:g}",
        )  # fmt: skip
    axes.set(
        yscale="log",
        xlabel="time: learning rate × steps",
        ylabel="change of $\\|W_{l+1}\\|^2 - \\|W_l\\|^2$",
        title="What gradient flow keeps, and gradient descent nearly",
    )
    axes.grid(alpha=0.3)
    axes.set_ylim(bottom=min(min(curve["drift"]) for curve in data["curves"]) / 100)
    axes.legend(fontsize=8, loc="lower right", ncols=2)
    return figure
