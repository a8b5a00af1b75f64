"""Euler's identities of relu networks.

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
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, largest, median, smallest
from experiments.why_forward.networks import initial, keys
from mlp_jax import Activation, Layer, Params, backprop, datasets
from mlp_jax.backpropagation import backprop_with_trace

FORMULA = (
    r"\langle W_l, \partial L / \partial W_l \rangle = \langle z_L, \delta_L \rangle \;\; \text{for every } l, \qquad "
    r"\frac{\mathrm{d}}{\mathrm{d}t} \left( \lVert W_{l+1} \rVert^2 - \lVert W_l \rVert^2 \right) = 0"
)
ROUNDING = 1e-12
PHIS = {"relu": mlp_jax.relu, "tanh": mlp_jax.tanh}
BIASES = (0.0, 0.5)  # their size


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
    moments: int = 50  # at which the drift is recorded; they divide the steps of every rate
    trainings: int = 5  # seeds


FULL = Config()
QUICK = Config(depths=(3,), seeds=4, hidden=(32,), examples=64, rates=(0.01, 0.001), time=0.2, moments=20, trainings=2)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, Any]:
    """Check the identities at every depth, then train at several learning rates for the same time.

    Returns:
      The worst layer's error of the identity for "relu" and "tanh" (depths, without and with biases, seeds). Of the
      trainings, "relu drift" and "tanh drift" of the differences (rates, seeds, moments, pairs of layers), and what the
      squares of the steps add up to, "relu squares" and "tanh squares" (rates, seeds, pairs of layers).
    """
    of_identities, of_training = keys(key, 2)
    with jax.enable_x64(True):
        x, labels = datasets.load_digits(dtype=np.float64).train
        arrays = {name: np.empty((len(config.depths), len(BIASES), config.seeds)) for name in PHIS}
        for i, depth in enumerate(config.depths):
            each = [
                initial(of_identities, (64, *(depth - 1) * (config.width,), 10), mlp_jax.relu, (config.seeds,), b)
                for b in BIASES
            ]
            nets = jax.tree.map(lambda *a: np.concatenate(a), *each)
            s = jax.jit(_gradients)(nets, x[: config.batch], labels[: config.batch])
            for name, of_phi in jax.device_get(s).items():
                arrays[name][i] = euler_error(nets, *of_phi).reshape(len(BIASES), -1)
        for i, (name, phi) in enumerate(PHIS.items()):
            progress(0.2 + 0.4 * i)
            start = initial(of_training, (64, *config.hidden, 10), phi, (config.trainings,))
            descent = jax.jit(partial(_descents, config, phi))
            found = [descent(start, rate, x[: config.examples], labels[: config.examples]) for rate in config.rates]
            arrays[f"{name} drift"], arrays[f"{name} squares"] = (np.stack(a) for a in zip(*found, strict=True))
    return arrays | {
        "depth": np.array(config.depths),
        "rate": np.array(config.rates),
        "time": config.time * np.arange(1, config.moments + 1) / config.moments,
    }


def sizes(n: Numbers, activation: str) -> np.ndarray:
    """Return the drift's norm over layers (rates, seeds, moments)."""
    return np.linalg.norm(n[f"{activation} drift"], axis=-1)


def _coarse_over_fine(n: Numbers, activation: str) -> Statistic:
    *_, coarse, fine = sizes(n, activation)[..., -1]
    return median(coarse / fine)


NETWORKS = "{n.config.depths} layers of {n.config.width}"
WORST = f"the worst layer, relative to the sum of |W_ij dW_ij|, in float64: rounding; {NETWORKS}"
DRIFT = (
    "norm over layers after time {n.config.time:g}, the last two learning rates of {n.config.rates}; hidden layers "
    "{n.config.hidden}, {n.config.examples} digits, float64"
)


@at_most(
    ROUNDING,
    "In a relu network without biases <W_l, dL/dW_l> is <z_L, delta_L> in every layer.",
    source="Du, Hu & Lee (2018); derived: <z, phi'(z) dh> = <h, dh> for h = phi'(z) z",
    how=WORST,
    must=True,
)
def Euler(n: Numbers) -> Statistic:
    return largest(n["relu"][:, 0])


@at_most(
    ROUNDING,
    "With biases every layer passes on <W_l, dW_l> + <b_l, db_l>.",
    source="derived: z_l = h_{{l-1}} W_l + b_l in <z_l, delta_l>",
    how=WORST,
    must=True,
)
def Euler_with_biases(n: Numbers) -> Statistic:
    return largest(n["relu"][:, 1])


@at_least(
    1e-6,
    "For tanh, which is not homogeneous, it does not hold.",
    source="derived: tanh(z) is not z tanh'(z)",
    how=f"the worst layer of the network in which it is smallest, far above rounding; {NETWORKS}",
    must=True,
)
def Euler_for_tanh(n: Numbers) -> Statistic:
    return smallest(n["tanh"][:, 0])


@equals(
    10,
    "For relu a tenth of the learning rate moves |W_{{l+1}}|^2 - |W_l|^2 a tenth as far in the same time.",
    within=1,
    source="Du, Hu & Lee (2018): gradient flow keeps it; derived: a step adds a square, eta^2",
    how=f"{DRIFT}; of first order, and the next term is about the larger rate",
)
def drift_per_decade(n: Numbers) -> Statistic:
    return _coarse_over_fine(n, "relu")


@equals(
    1,
    "For tanh it moves as far however small the learning rate.",
    within=0.2,
    source="derived: gradient flow does not keep it",
    how=DRIFT,
)
def drift_for_tanh(n: Numbers) -> Statistic:
    return _coarse_over_fine(n, "tanh")


@at_most(
    1e-8,
    "The drift of relu is the sum of the steps' own squares, eta^2 (|dW_{{l+1}}|^2 - |dW_l|^2), and no more.",
    source="derived: |W - eta dW|^2 = |W|^2 - 2 eta <W, dW> + eta^2 |dW|^2, with Euler's identity",
    how=f"relative error, float64: rounding of |W|^2 over a small drift; every rate and seed; {DRIFT}",
    must=True,
)
def drift_accounted_for(n: Numbers) -> Statistic:
    unexplained = n["relu drift"][..., -1, :] - n["relu squares"]
    return largest(np.linalg.norm(unexplained, axis=-1) / sizes(n, "relu")[..., -1])


def picture(n: Numbers) -> Figure:
    """Draw the drift of the first seed over time, for both activations and every learning rate."""
    figure, axes = panels(figsize=(6.5, 4.4))
    for name, color in {"relu": "C0", "tanh": "C1"}.items():
        for rate, size, style in zip(n["rate"], sizes(n, name)[:, 0], ("-", "--", ":"), strict=False):
            axes.plot(n["time"], size, style, color=color, label=f"{name}, learning rate {rate:g}")
    axes.set(yscale="log", xlabel="time: learning rate × steps", ylabel="change of $\\|W_{l+1}\\|^2 - \\|W_l\\|^2$")
    axes.set_title("What gradient flow keeps, and gradient descent nearly")
    axes.set_ylim(bottom=sizes(n, "relu")[:, 0].min() / 100)
    axes.legend(loc="lower right", ncols=2)
    return figure


def _gradients(networks: Params, x: jax.Array, labels: jax.Array) -> dict[str, tuple[Params, jax.Array, jax.Array]]:
    """Return gradients, z_L and delta_L of networks on a leading axis, for both activations."""

    def of(params: Params, phi: Activation) -> tuple[Params, jax.Array, jax.Array]:
        s = backprop_with_trace(params, x, labels, phi)
        return s.gradients, s.forward.z[-1], s.delta[-1]

    return {name: jax.lax.map(partial(of, phi=phi), networks) for name, phi in PHIS.items()}


def euler_error(params: Params, gradients: Params, z: Any, delta: Any) -> np.ndarray:
    """Return how far <W_l, dW_l> + <b_l, db_l> is from <W_{l+1}, dW_{l+1}>, or from <z_L, delta_L> at the last layer.

    Relative to the sum of the sizes of the terms on the left; the worst layer. All arrays may have a leading axis of
    networks.
    """
    worst, above = np.zeros(()), np.sum(z * delta, axis=(-2, -1))
    for (W, b), (dW, db) in zip(reversed(params), reversed(gradients), strict=True):
        size = np.sum(abs(W * dW), axis=(-2, -1)) + np.sum(abs(b * db), axis=-1)
        of_weights = np.sum(W * dW, axis=(-2, -1))
        worst = np.maximum(worst, abs(of_weights + np.sum(b * db, axis=-1) - above) / size)
        above = of_weights
    return worst


def _descents(
    config: Config, phi: Activation, starts: Params, rate: Any, x: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return how the differences of |W_l|^2 drift in gradient descent on the weights, and the squares of its steps.

    The number of steps is an argument of the program, so that one program serves all rates.
    """
    steps = jnp.round(config.time / rate / config.moments).astype(int)

    def step(_: Any, state: tuple[Params, jax.Array]) -> tuple[Params, jax.Array]:
        params, squares = state
        _, gradients = backprop(params, x, labels, phi)
        stepped = tuple(Layer(W - rate * dW, b) for (W, b), (dW, _) in zip(params, gradients, strict=True))
        return stepped, squares + rate**2 * differences(gradients)

    def until_next_moment(state: tuple[Params, jax.Array], _: None) -> tuple[tuple[Params, jax.Array], jax.Array]:
        state = jax.lax.fori_loop(0, steps, step, state)
        return state, differences(state[0])

    def descent(start: Params) -> tuple[jax.Array, jax.Array]:
        before = differences(start)
        (_, squares), after = jax.lax.scan(until_next_moment, (start, jnp.zeros_like(before)), length=config.moments)
        return after - before[None, :], squares

    return jax.lax.map(descent, starts)


def differences(layers: Params) -> jax.Array:
    """Return |W_{l+1}|^2 - |W_l|^2 of all neighbouring layers."""
    return jnp.diff(jnp.array([jnp.sum(layer.weight**2) for layer in layers]))
