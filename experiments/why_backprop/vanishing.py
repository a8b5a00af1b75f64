"""How the gradient shrinks or grows on its way down a deep network, against mean-field theory.

Networks of 100 equal layers at initialisation, Var W = s_w^2 / fan_in and Var b = s_b^2 = 0.05, random inputs; a random
direction in the logits takes the place of the loss, and the rules of `mlp_jax.backpropagation` give delta_l of every
layer, in float64. The layers are equal, so they are scanned over. Three s_w^2 for each of sigmoid, tanh and ReLU:
LeCun's 1, the critical one, at which theory has chi = 1, and twice that. Theory (Poole et al., 2016; Schoenholz et al.,
2017), for infinitely wide layers: q, the variance of a pre-activation, settles at the fixed point of q -> s_w^2 E
phi(sqrt(q) x)^2 + s_b^2, x standard normal, and each layer then multiplies the squared norm of delta by chi = s_w^2 E
phi'(sqrt(q) x)^2. We measure chi as the slope of the log of the squared norm, mean over the batch, over the layers
between the ends.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.special import expit

from experiments.frame.claims import equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, exact, mean
from experiments.tasks import generator
from mlp_jax import Activation
from mlp_jax.activations import ACTIVATIONS
from mlp_jax.backpropagation import activation_backward, linear_backward

FORMULA = (
    r"\mathrm{E}\,|\delta_l|^2 = \chi\,\mathrm{E}\,|\delta_{l+1}|^2, \qquad"
    r" \chi = s_w^2\,\mathrm{E}\,\varphi'(\sqrt{q}\,x)^2"
)
KINDS = ("LeCun", "critical", "twice critical")
VALUES: dict[str, Callable[[Any], Any]] = {"sigmoid": expit, "tanh": np.tanh}
DERIVATIVES: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda z: expit(z) * expit(-z),
    "tanh": lambda z: 1 / np.cosh(z) ** 2,
}


@dataclass(frozen=True)
class Config:
    """The activation and the variance of its weights are varied, the rest is held fixed."""

    activations: tuple[str, ...] = ("sigmoid", "tanh", "relu")
    networks: int = 10  # of each kind
    depth: int = 100
    width: int = 384  # wide enough that an infinite layer's chi is met to about 1 %
    batch: int = 16
    bias_variance: float = 0.05
    settled: int = 20  # layers after which q has settled: left out of the fit
    top: int = 10  # layers by the logits, left out too


FULL = Config()
QUICK = Config(activations=("tanh",), networks=3, width=256)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Return log10 |delta_l|^2, mean over the batch, of every network (activations, kinds, networks, depth)."""
    rng = generator(key)
    logs = np.zeros((len(config.activations), len(KINDS), config.networks, config.depth))
    for a, activation in enumerate(config.activations):
        for k, kind in enumerate(KINDS):
            progress((a + k / len(KINDS)) / len(config.activations))
            for i in range(config.networks):
                variance = weight_variance(activation, kind, config.bias_variance)
                logs[a, k, i] = log_norms(config, rng, ACTIVATIONS[activation], variance)
    return {"activation": np.array(config.activations), "kind": np.array(KINDS), "log norm": logs}


def weight_variance(activation: str, kind: str, bias_variance: float) -> float:
    """Return s_w^2 of a kind."""
    return {"LeCun": 1.0, "critical": critical_variance(activation, bias_variance),
            "twice critical": 2 * critical_variance(activation, bias_variance)}[kind]  # fmt: skip


def expected(n: Numbers, activation: str, kind: str) -> float:
    """Return theory's chi."""
    b = n.config.bias_variance
    return chi_at(activation, weight_variance(activation, kind, b), b)


@equals(
    expected,
    "Each {activation} layer multiplies the squared norm of delta by {expected:.4g} (variance of the weights: {kind}).",
    within=lambda n, activation, kind: 0.03 * expected(n, activation, kind),
    activation=("sigmoid", "tanh", "relu"),
    kind=KINDS,
    source="Schoenholz et al., 2017: chi = s_w^2 E phi'(sqrt(q) x)^2, by quadrature; s_w^2/2 for ReLU",
    how="slope over layers {n.config.settled} to {n.config.top} before the end, of {n.config.depth}, width "
    "{n.config.width}; 3 % for the finite width, whose logs fluctuate and lie low by O(1/width) a layer",
)
def chi(n: Numbers, activation: str, kind: str) -> Statistic:
    fitted = np.arange(n.config.settled, n.config.depth - n.config.top)
    logs = n["log norm"][n.at(activation=activation), n.at(kind=kind)][:, fitted]
    return mean(10.0 ** -np.polyfit(fitted, logs.T, 1)[0])


@equals(
    1.76,
    "A tanh network with s_b^2 = 0.05 is critical at s_w^2 = 1.76.",
    within=0.005,
    source="Schoenholz et al., 2017 (from memory, two decimals)",
    how="the root of chi = 1, by quadrature; no network is drawn",
    must=True,
)
def critical_tanh(n: Numbers) -> Statistic:
    return exact(critical_variance("tanh", 0.05))


def picture(n: Numbers) -> Figure:
    """Draw log10 of the squared norm by layer: a panel for each activation, a line for each network."""
    figure, axes = panels(1, len(n["activation"]), figsize=(7.5, 3.6), dpi=150, squeeze=False)
    colors = dict(zip(KINDS, ("tab:blue", "black", "tab:orange"), strict=True))
    for panel, activation, of_activation in zip(axes[0], n["activation"], n["log norm"], strict=True):
        for kind, logs in zip(KINDS, of_activation, strict=True):
            layers = np.arange(1, logs.shape[1] + 1)
            panel.plot(layers, logs.T - logs[:, -1], lw=0.6, alpha=0.6, color=colors[kind], rasterized=True)
            chi = expected(n, activation, kind)
            variance = weight_variance(activation, kind, n.config.bias_variance)
            label = rf"$s_w^2$ = {variance:.4g}: $\chi$ = {chi:.3g}"
            panel.plot(layers, math.log10(chi) * (layers[-1] - layers), ":", lw=2.2, color=colors[kind], label=label)
        panel.set_title({"relu": "ReLU"}.get(activation, activation), fontsize=10)
        panel.set_xlabel("layer")
        panel.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
    axes[0, 0].set_ylabel(r"$\log_{10}$ of $|\delta_l|^2$ over the last layer's")
    return figure


def log_norms(config: Config, rng: np.random.Generator, activation: Activation, weight_variance: float) -> np.ndarray:
    """Return log10 of the squared norm of delta_l, mean over the batch, for l = 1 ... depth, in one random network."""
    d, w = config.depth, config.width
    weight = rng.standard_normal((d, w, w)) * math.sqrt(weight_variance / w)
    bias = rng.standard_normal((d, w)) * math.sqrt(config.bias_variance)
    x, direction = rng.standard_normal((2, config.batch, w))
    with jax.enable_x64(True):
        squares = np.asarray(_squares(activation, weight, bias, x, direction / config.batch))
    return np.log10(squares)


@partial(jax.jit, static_argnums=0)
def _squares(activation: Activation, weight: Any, bias: Any, x: Any, delta: Any) -> jax.Array:
    """Return the mean over the batch of |delta_l|^2, for every layer (depth,), from delta of the last."""

    def forward(h: jax.Array, layer: Any) -> tuple[jax.Array, jax.Array]:
        W, b = layer
        z = h @ W + b[None, :]
        return activation.value(z), activation.derivative(z)

    def backward(delta: jax.Array, layer: Any) -> tuple[jax.Array, jax.Array]:
        W, derivative = layer  # of this layer, and phi'(z) of the layer below
        return activation_backward(derivative, linear_backward(W, delta)), (delta**2).sum(axis=1).mean()

    _, derivative = jax.lax.scan(forward, x, (weight, bias))
    below = jax.numpy.concatenate([jax.numpy.ones_like(derivative[:1]), derivative[:-1]])
    return jax.lax.scan(backward, delta, (weight, below), reverse=True)[1]


# ---- theory


def chi_at(activation: str, weight_variance: float, bias_variance: float) -> float:
    """Return the factor of a layer, at the fixed point of q."""
    if activation == "relu":  # half of the units are on, whatever q, which has no fixed point from s_w^2 = 2 on
        return weight_variance / 2
    q = fixed_point(activation, weight_variance, bias_variance)
    return weight_variance * expected_square(DERIVATIVES[activation], q)


def fixed_point(activation: str, weight_variance: float, bias_variance: float) -> float:
    """Return the variance q of a pre-activation that a layer passes on unchanged."""

    def change(q: float) -> float:
        return weight_variance * expected_square(VALUES[activation], q) + bias_variance - q

    return float(brentq(change, bias_variance, weight_variance + bias_variance + 1))  # sigmoid and tanh are below 1


def critical_variance(activation: str, bias_variance: float) -> float:
    """Return the variance s_w^2 of the weights at which chi = 1."""
    if activation == "relu":
        return 2.0
    return float(brentq(lambda variance: chi_at(activation, variance, bias_variance) - 1, 0.5, 500))


def expected_square(function: Callable[[Any], Any], q: float) -> float:
    """Return E function(sqrt(q) x)^2 for a standard normal x, by the trapezium rule, which is all but exact here."""
    x = np.linspace(-12, 12, 4001)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    values = np.asarray(function(math.sqrt(q) * x))
    return float(np.sum(density * values**2) * (x[1] - x[0]))
