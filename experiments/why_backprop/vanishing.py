"""How the gradient shrinks or grows on its way down a deep network, against mean-field theory.

Networks of 100 equal layers at initialisation, Var W = s_w^2 / fan_in and Var b = s_b^2 = 0.05, random inputs; a random
direction in the logits takes the place of the loss, and `backprop_with_trace` gives delta_l of every layer, in float64.
Three s_w^2 for each of sigmoid, tanh and ReLU: LeCun's 1, the critical one, at which theory has chi = 1, and twice
that. Theory (Poole et al., 2016; Schoenholz et al., 2017), for infinitely wide layers: q, the variance of a
pre-activation, settles at the fixed point of q -> s_w^2 E phi(sqrt(q) x)^2 + s_b^2, x standard normal, and each layer
then multiplies the squared norm of delta by chi = s_w^2 E phi'(sqrt(q) x)^2. We measure chi as the slope of the log of
the squared norm, mean over the batch, over the layers between the ends.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.nn.initializers import normal, variance_scaling
from matplotlib.figure import Figure
from scipy.optimize import brentq

import mlp_jax
from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from mlp_jax import Activation, Loss, relu, sigmoid, tanh

FORMULA = (
    r"\mathrm{E}\,|\delta_l|^2 = \chi\,\mathrm{E}\,|\delta_{l+1}|^2, \qquad"
    r" \chi = s_w^2\,\mathrm{E}\,\varphi'(\sqrt{q}\,x)^2"
)
CAPTION = (
    "The squared norm of delta by layer, from the last layer on the right back to the first, in networks of 100 layers "
    "at initialisation: one line a network, and theory dotted. Only at the critical variance of the weights does the "
    "gradient arrive with about its size."
)


@dataclass(frozen=True)
class Config:
    """The activation and the variance of its weights are varied, the rest is held fixed."""

    networks: int = 10  # of each kind
    depth: int = 100
    width: int = 384  # wide enough that an infinite layer's chi is met to about 1 %
    batch: int = 16
    bias_variance: float = 0.05
    settled: int = 20  # layers after which q has settled: left out of the fit
    top: int = 10  # layers by the logits, left out too


FULL = Config()
QUICK = Config(networks=2, width=128)

NAMES = ("LeCun", "critical", "twice critical")

random_direction = Loss(  # the loss <z, t>, whose gradient in the logits is t, whatever the logits
    lambda z, t: jnp.mean(jnp.sum(z * t, axis=1)), lambda z, t: t / z.shape[0], name="random_direction"
)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Measure chi in random networks, each with its own seed."""
    claims, kinds = [], []
    for i, activation in enumerate((sigmoid, tanh, relu)):
        critical = critical_variance(activation, config.bias_variance)
        for j, (name, weight_variance) in enumerate(zip(NAMES, (1.0, critical, 2 * critical), strict=True)):
            progress((i + j / 3) / 3)
            key_of_kind = jax.random.fold_in(key, 3 * i + j)
            keys = jax.random.split(key_of_kind, config.networks)
            logs = np.array([log_norms(config, k, activation, weight_variance) for k in keys])
            chi = chi_at(activation, weight_variance, config.bias_variance)
            kinds.append(
                {
                    "activation": activation.name,
                    "name": name,
                    "weight_variance": weight_variance,
                    "chi": chi,
                    "logs": logs,
                }
            )
            claims.append(_claim_of_chi(config, kinds[-1]))
    claims.append(
        Claim(
            "critical tanh",
            "A tanh network with s_b^2 = 0.05 is critical at s_w^2 = 1.76.",
            "=",
            1.76,
            "Schoenholz et al., 2017 (from memory, two decimals)",
            critical_variance(tanh, 0.05),
            "the root of chi = 1, by quadrature; no network is drawn",
            tolerance=0.005,
            exact=True,
        )
    )
    return Finding(tuple(claims), {"kinds": kinds})


def _claim_of_chi(config: Config, kind: dict[str, Any]) -> Claim:
    fitted = slice(config.settled, config.depth - config.top)
    slopes = np.polyfit(np.arange(config.depth)[fitted], kind["logs"].T[fitted], deg=1)[0]
    measured, interval = mean_and_interval(10.0**-slopes)
    activation, weight_variance = kind["activation"], kind["weight_variance"]
    return Claim(
        f"chi {activation} {kind['name']}",
        f"Each {activation} layer multiplies the squared norm of delta by chi, at s_w^2 = {weight_variance:.4g}.",
        "=",
        kind["chi"],
        "Schoenholz et al., 2017: chi = s_w^2 E phi'(sqrt(q) x)^2, by quadrature; s_w^2/2 for ReLU",
        measured,
        f"slope over layers {config.settled} to {config.depth - config.top} of {config.depth}, width {config.width}; "
        "3 % for the finite width, whose logs fluctuate and lie low by O(1/width) a layer",
        interval,
        config.networks,
        tolerance=0.03 * kind["chi"],
    )


def log_norms(config: Config, key: jax.Array, activation: Activation, weight_variance: float) -> list[float]:
    """log10 of the squared norm of delta_l, mean over the batch, for l = 1 ... depth, in one random network.

    Rooms run op by op here: one program would take longer to compile than all networks to run.
    """
    with jax.enable_x64(True):
        of_params, of_x, of_direction = jax.random.split(key, 3)
        params = mlp_jax.init_params.room(
            of_params,
            (config.depth + 1) * (config.width,),
            weight_init=variance_scaling(weight_variance, "fan_in", "normal"),
            bias_init=normal(math.sqrt(config.bias_variance)),
            dtype=float,
        )
        shape = config.batch, config.width
        x, direction = jax.random.normal(of_x, shape, float), jax.random.normal(of_direction, shape, float)
        trace = mlp_jax.backprop_with_trace.room(params, x, direction, activation, random_direction)
        return [float(jnp.log10(jnp.mean(jnp.sum(delta**2, axis=1)))) for delta in trace.delta]


# ---- theory


def chi_at(activation: Activation, weight_variance: float, bias_variance: float) -> float:
    """The factor of a layer, at the fixed point of q."""
    if activation is relu:  # half of the units are on, whatever q, which has no fixed point from s_w^2 = 2 on
        return weight_variance / 2
    q = fixed_point(activation, weight_variance, bias_variance)
    return weight_variance * expected_square(activation.derivative, q)


def fixed_point(activation: Activation, weight_variance: float, bias_variance: float) -> float:
    """The variance q of a pre-activation that a layer passes on unchanged."""

    def change(q: float) -> float:
        return weight_variance * expected_square(activation.value, q) + bias_variance - q

    return float(brentq(change, bias_variance, weight_variance + bias_variance + 1))  # sigmoid and tanh are below 1


def critical_variance(activation: Activation, bias_variance: float) -> float:
    """The variance s_w^2 of the weights at which chi = 1."""
    if activation is relu:
        return 2.0
    return float(brentq(lambda variance: chi_at(activation, variance, bias_variance) - 1, 0.5, 500))


def expected_square(function: Callable[[Any], Any], q: float) -> float:
    """E function(sqrt(q) x)^2 for a standard normal x, by the trapezium rule, which is all but exact here."""
    x = np.linspace(-12, 12, 4001)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    with jax.enable_x64(True):
        values = np.asarray(function(jnp.asarray(math.sqrt(q) * x)))
    return float(np.sum(density * values**2) * (x[1] - x[0]))


# ---- picture


def picture(data: dict[str, Any]) -> Figure:
    """log10 of the squared norm by layer: a panel an activation, a line a network."""
    figure, panels = plt.subplots(1, 3, figsize=(7.5, 3.6), layout="constrained", dpi=150)
    colors = dict(zip(NAMES, ("tab:blue", "black", "tab:orange"), strict=True))
    for axes, activation in zip(panels, ("sigmoid", "tanh", "relu"), strict=True):
        for kind in (kind for kind in data["kinds"] if kind["activation"] == activation):
            logs = np.array(kind["logs"], float)
            layers = np.arange(1, logs.shape[1] + 1)
            color = colors[kind["name"]]
            axes.plot(layers, logs.T - logs[:, -1], lw=0.6, alpha=0.6, color=color, rasterized=True)
            theory = math.log10(kind["chi"]) * (layers[-1] - layers)
            label = rf"$s_w^2$ = {kind['weight_variance']:.4g}: $\chi$ = {kind['chi']:.3g}"
            axes.plot(layers, theory, ":", lw=2.2, color=color, label=label)
        axes.set_title({"relu": "ReLU"}.get(activation, activation), fontsize=10)
        axes.set_xlabel("layer")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
    panels[0].set_ylabel(r"$\log_{10}$ of $|\delta_l|^2$ over the last layer's")
    return figure
