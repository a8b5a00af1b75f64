"""The gradient of cross-entropy is p - y, which never vanishes while the answer is wrong; squared error's does.

The gradient by hand, by jax.grad, and the Hessian against mpmath, for normal logits of scale 5 in float64. Then the
gradient in the logits where the network is confidently wrong: the logit of a wrong class is ahead of all others by a
gap; and how many steps of gradient descent at rate 1 on the logits themselves the label's needs to become the largest.

Last, one sigmoid neuron, input 1, target 0, as in Nielsen (2015, ch. 3).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.protocol import Claim, Finding, Progress
from experiments.why_softmax import exact, one_neuron
from experiments.why_softmax.losses import COLORS, LABELS, LOSSES
from mlp_jax import Loss, cross_entropy

FORMULA = (
    r"\frac{\partial}{\partial z} (-\log p_y) = p - y, \qquad "
    r"\frac{\partial}{\partial z} \| p - y \|^2 = 2 \, (\mathrm{diag}(p) - p p^\top) (p - y)"
)
CAPTION = "Confidently wrong: cross-entropy's gradient is at its largest, and that of squared error has vanished."

FAR = (10.0, 30.0)  # the gaps from which on a network is called confidently wrong
WAITS = (10.0, 12.0, 14.0)  # the gaps from which logits learn the label


@dataclass(frozen=True)
class Config:
    """The loss and the gap are varied, the rest is held fixed."""

    classes: int = 10
    rows: int = 100  # held against mpmath
    logit_scale: float = 5.0
    lead: float = 10.0  # where the trainings start


FULL = Config()
QUICK = Config(rows=20)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Check the derivatives, then the gradient over the gap."""
    gradient_error, hessian_error = derivative_errors(key, config)
    gaps = np.linspace(0, FAR[1], 61)
    norms = {name: gradient_norms(loss, gaps, config.classes) for name, loss in LOSSES.items()}
    far = gaps >= FAR[0]
    waits = {name: steps_until_right(loss, WAITS, config.classes) for name, loss in LOSSES.items()}
    at_lead = [float(np.interp(config.lead, gaps, norm)) for norm in norms.values()]
    of_rows = f"{config.rows} rows of {config.classes} normal logits of scale {config.logit_scale:g}, float64"
    claims = (
        Claim(
            "gradient",
            "The gradient of cross-entropy in the logits is p - y, by hand and by autodiff.",
            "<=",
            2e-14,
            "derived; rounding: u = 1.1e-16, times 3 roundings of differences of logits, below 50, and 20 operations",
            gradient_error,
            f"relative error of the worst entry, every label, against p - y in {exact.DIGITS} digits; {of_rows}",
            exact=True,
        ),
        Claim(
            "Hessian",
            "Its Hessian is diag(p) - p p^T, whatever the label.",
            "<=",
            2e-14,
            "derived; rounding as for the gradient, of terms that are at most 1",
            hessian_error,
            "absolute error of the worst entry, for entries are differences such as p - p^2; every label, against "
            f"{exact.DIGITS} digits; {of_rows}",
            exact=True,
        ),
        Claim(
            "vanishing",
            "The gradient of squared error after softmax vanishes exponentially as the network gets confidently wrong.",
            "=",
            -1,
            "derived: each entry has a factor p_y or 1 - p_w, both of order exp(-gap)",
            slope(gaps[far], np.log(norms["squared error"][far])),
            f"slope of the log of its norm over the gap, {FAR[0]:g} to {FAR[1]:g}; the next term is exp(-{FAR[0]:g})",
            tolerance=1e-3,
            exact=True,
        ),
        Claim(
            "lasting",
            "The gradient of cross-entropy stays at its largest.",
            ">=",
            0.999,
            "derived: the norm of p - y is at most sqrt(2), which it tends to with an error of order exp(-gap)",
            float(np.min(norms["cross-entropy"][far])) / math.sqrt(2),
            f"its norm over sqrt(2), the least over the same gaps; {config.classes} exp(-{FAR[0]:g}) = 5e-4",
            exact=True,
        ),
        Claim(
            "gradient ratio",
            "At a gap of 10 cross-entropy's gradient is more than a thousand times squared error's.",
            ">=",
            1000,
            "derived: sqrt(2) exp(gap) over (16 + 4 (C - 2) + 4 C^2)^(1/2), to first order",
            at_lead[0] / at_lead[1],
            f"ratio of the norms at a gap of {config.lead:g}; the formula gives 1,472",
            exact=True,
        ),
        Claim(
            "waiting",
            "Learning with squared error after softmax takes exponentially longer the more confident a mistake is.",
            "=",
            1,
            "derived: the gap falls by (2 C + 4) exp(-gap) a step, which takes exp(gap) / (2 C + 4) steps",
            slope(np.array(WAITS), np.log(waits["squared error"])),
            f"slope of the log of the steps over the gap, {WAITS}: {waits['squared error']} steps, with cross-entropy "
            f"{waits['cross-entropy']}; the last few steps of the wait are not exponential",
            tolerance=0.02,
            exact=True,
        ),
        *one_neuron.claims(),
    )
    return Finding(claims, {"gaps": gaps, "norms": norms, "classes": config.classes})


def derivative_errors(key: jax.Array, config: Config) -> tuple[float, float]:
    """The worst relative error of the gradient, by hand or by autodiff, and the worst absolute of the Hessian."""
    with jax.enable_x64(True):
        z = np.asarray(config.logit_scale * jax.random.normal(key, (config.rows, config.classes)))
        by_hand, by_autodiff, hessians = map(np.asarray, derivatives(z))
    gradients = np.array([[exact.gradient(row, y) for y in range(config.classes)] for row in z])
    curvature = np.array([exact.hessian(row) for row in z])[:, None]
    gradient_error = max(float(np.max(np.abs(g / gradients - 1))) for g in (by_hand, by_autodiff))
    return gradient_error, float(np.max(np.abs(hessians - curvature)))


@jax.jit
def derivatives(z: jax.Array) -> tuple[jax.Array, ...]:
    """Cross-entropy's gradient by hand and by autodiff and its Hessian, for every row z and every label."""

    def of_one(z: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
        def loss(z: jax.Array) -> jax.Array:
            return cross_entropy(z[None], y[None])

        return cross_entropy.logits_gradient(z[None], y[None])[0], jax.grad(loss)(z), jax.hessian(loss)(z)

    of_labels = jax.vmap(of_one, in_axes=(None, 0))
    return jax.vmap(of_labels, in_axes=(0, None))(z, jnp.arange(z.shape[1]))


def gradient_norms(loss: Loss, gaps: np.ndarray, classes: int) -> np.ndarray:
    """The norm of a loss's gradient in the logits (0, ..., 0, gap), the label being class 0."""
    with jax.enable_x64(True):
        z = np.zeros((len(gaps), classes))
        z[:, -1] = gaps
        return np.linalg.norm(loss.logits_gradient(jnp.asarray(z), jnp.zeros(len(gaps), int)), axis=1) * len(gaps)


def steps_until_right(loss: Loss, gaps: Sequence[float], classes: int) -> list[int]:
    """The steps of gradient descent on the logits (0, ..., 0, gap), for every gap, until class 0 has the largest."""

    @jax.jit
    def steps(gap: jax.Array) -> jax.Array:
        def wrong(state: tuple[jax.Array, jax.Array]) -> jax.Array:
            return jnp.any(state[0][1:] >= state[0][0])

        def step(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            z, count = state
            return z - loss.logits_gradient(z[None], jnp.zeros(1, int))[0], count + 1

        _, count = jax.lax.while_loop(wrong, step, (jnp.zeros(classes).at[-1].set(gap), jnp.array(0)))
        return count

    with jax.enable_x64(True):
        return [int(steps(gap)) for gap in gaps]


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """The slope of the line of least squares."""
    return float(np.polyfit(x, y, 1)[0])


def picture(data: dict[str, Any]) -> Figure:
    """The gradient over the gap."""
    figure, axes = plt.subplots(figsize=(6.0, 3.8), layout="constrained")
    gaps, C = np.array(data["gaps"]), data["classes"]
    for name, color in COLORS.items():
        axes.plot(gaps, data["norms"][name], color=color, lw=2, label=LABELS[name])
    axes.plot(gaps, np.sqrt(16 + 4 * (C - 2) + 4 * C**2) * np.exp(-gaps), color="black", ls=":", label="slope −1")
    axes.axhline(np.sqrt(2), color="black", ls="--", lw=1, label="largest possible, √2")
    axes.set(yscale="log", xlabel="lead of a wrong class (logits)", ylabel="norm of the gradient in the logits")
    axes.set_title("Gradient when confidently wrong")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="lower left")
    return figure
