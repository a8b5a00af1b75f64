"""The gradient of cross-entropy is p - y, which never vanishes while the answer is wrong; squared error's does.

The gradient by hand, by jax.grad, and the Hessian against mpmath, for normal logits of scale 5 in float64. Then the
gradient in the logits of a network that is confidently wrong: the logit of a wrong class is ahead of all others by a
gap; and how many steps of gradient descent at rate 1 on the logits themselves the label's needs to become the largest.

Last, one sigmoid neuron, input 1, target 0, as in Nielsen (2015, ch. 3).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, largest
from experiments.tasks import generator
from experiments.why_softmax import exact, one_neuron
from experiments.why_softmax.losses import COLORS, LABELS, LOSSES
from mlp_jax import Loss, cross_entropy

FORMULA = (
    r"\frac{\partial}{\partial z} (-\log p_y) = p - y, \qquad "
    r"\frac{\partial}{\partial z} \| p - y \|^2 = 2 \, (\mathrm{diag}(p) - p p^\top) (p - y)"
)

GAPS = np.linspace(0, 30, 61)
FAR = 10.0  # the gap from which on a network is called confidently wrong, and a lead from which the trainings start
WAITS = np.array([10, 12, 14])  # the gaps from which logits learn the label


@dataclass(frozen=True)
class Config:
    """The loss and the gap are varied, the rest is held fixed."""

    classes: int = 10
    rows: int = 100  # compared with mpmath
    logit_scale: float = 5.0


FULL = Config()
QUICK = Config(rows=10)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Compare the derivatives with exact ones, and let logits and a neuron that are confidently wrong learn.

    Returns:
      The worst errors of each row, "gradient error" (by hand and by autodiff, rows), relative, and "Hessian error"
      (rows,), absolute; the gradient's "norm" (losses, gaps); the "steps" that logits take (losses, waits); the
      "output" of the neuron (losses, starts).
    """
    z = config.logit_scale * generator(key).standard_normal((config.rows, config.classes))
    with jax.enable_x64(True):
        gradients, hessians, norm, steps = jax.device_get(_measured(z))
    labels = range(config.classes)
    exact_gradients = np.array([[exact.gradient(row, label) for label in labels] for row in z])
    exact_hessians = np.array([exact.hessian(row) for row in z])[:, None]
    return {
        "gradient error": np.abs(gradients / exact_gradients - 1).max(axis=(2, 3)),
        "Hessian error": np.abs(hessians - exact_hessians).max(axis=(1, 2, 3)),
        "loss": np.array(list(LOSSES)),
        "gap": GAPS,
        "norm": norm,
        "wait": WAITS,
        "steps": steps,
        "start": np.array(list(one_neuron.STARTS)),
        "output": np.array([[one_neuron.output(start, loss) for start in one_neuron.STARTS] for loss in LOSSES]),
    }


OF_ROWS = "{n.config.rows} rows of {n.config.classes} normal logits of scale {n.config.logit_scale:g}, float64"


@at_most(
    2e-14,
    "The gradient of cross-entropy in the logits is p - y, by hand and by autodiff.",
    source="derived; rounding: u = 1.1e-16, times 3 roundings of differences of logits, below 50, and 20 operations",
    how=f"relative error of the worst entry, every label, against p - y in {exact.DIGITS} digits; " + OF_ROWS,
    must=True,
)
def gradient(n: Numbers) -> Statistic:
    return largest(n["gradient error"])


@at_most(
    2e-14,
    "Its Hessian is diag(p) - p p^T, whatever the label.",
    source="derived; rounding as for the gradient, of terms that are at most 1",
    how="absolute error of the worst entry, for entries are differences such as p - p^2; every label, against "
    f"{exact.DIGITS} digits; " + OF_ROWS,
    must=True,
)
def Hessian(n: Numbers) -> Statistic:
    return largest(n["Hessian error"])


def norm(n: Numbers, loss: str) -> np.ndarray:
    """Return the norms of a loss's gradient where a network is confidently wrong."""
    return n["norm"][n.at(loss=loss)][n["gap"] >= FAR]


@equals(
    -1,
    "The gradient of squared error after softmax vanishes exponentially as the network gets confidently wrong.",
    within=1e-3,
    source="derived: each entry has a factor p_y or 1 - p_w, both of order exp(-gap)",
    how=f"slope of the log of its norm over the gap, {FAR:g} to {GAPS[-1]:g}; the next term is exp(-{FAR:g})",
    must=True,
)
def vanishing(n: Numbers) -> float:
    return slope(n["gap"][n["gap"] >= FAR], norm(n, "squared error"))


@at_least(
    0.999,
    "The gradient of cross-entropy stays at its largest.",
    source="derived: the norm of p - y is at most sqrt(2), which it tends to with an error of order exp(-gap)",
    how=f"its norm over sqrt(2), the least over the same gaps; {{n.config.classes}} exp(-{FAR:g}) = 5e-4",
    must=True,
)
def lasting(n: Numbers) -> float:
    return norm(n, "cross-entropy").min() / np.sqrt(2)


@at_least(
    1000,
    "At a gap of 10 cross-entropy's gradient is more than a thousand times squared error's.",
    source="derived: sqrt(2) exp(gap) over (16 + 4 (C - 2) + 4 C^2)^(1/2), to first order",
    how="ratio of the norms at that gap; the formula gives 1,472",
    must=True,
)
def gradient_ratio(n: Numbers) -> float:
    return norm(n, "cross-entropy")[0] / norm(n, "squared error")[0]


@equals(
    1,
    "Learning with squared error after softmax takes exponentially longer the more confident a mistake is.",
    within=0.02,
    source="derived: the gap falls by (2 C + 4) exp(-gap) a step, which takes exp(gap) / (2 C + 4) steps",
    how="slope of the log of the steps over the gap, {n[wait]}: {n[steps][1]} steps, with cross-entropy {n[steps][0]}; "
    "the last few steps of the wait are not exponential",
    must=True,
)
def waiting(n: Numbers) -> float:
    return slope(n["wait"], n["steps"][n.at(loss="squared error")])


SETTING = (
    f"one sigmoid neuron, input 1, target 0, {one_neuron.EPOCHS} steps at {one_neuron.RATE:g}, w and b "
    + " or ".join(f"{w:g} and {b:g}" for w, b in one_neuron.STARTS.values())
)


@equals(
    lambda n, start: one_neuron.PUBLISHED[start],
    "One neuron and squared error from a {start} start end at Nielsen's output.",
    within=0.005,
    source="Nielsen (2015, ch. 3), to two digits; not checked in the book",
    how=SETTING + "; half of the last digit that is published",
    must=True,
    start=tuple(one_neuron.STARTS),
)
def neuron(n: Numbers, start: str) -> float:
    return n["output"][n.at(loss="squared error"), n.at(start=start)]


@equals(
    lambda n, start: one_neuron.output_by_gradient_flow(start),
    "With cross-entropy the {start} start ends at the output of gradient flow.",
    within=lambda n, start: 0.02 * one_neuron.output_by_gradient_flow(start),
    source="derived: dz/dt = -2 rate sigmoid(z), so that z - exp(-z) falls by 2 rate at every step",
    how=SETTING + "; 2 % for steps instead of flow",
    must=True,
    start=tuple(one_neuron.STARTS),
)
def neuron_cross_entropy(n: Numbers, start: str) -> float:
    return n["output"][n.at(loss="cross-entropy"), n.at(start=start)]


def picture(n: Numbers) -> Figure:
    """Draw the gradient over the gap."""
    figure, axes = panels(figsize=(6.0, 3.8))
    gaps, C = n["gap"], n.config.classes
    for name, norms in zip(n["loss"], n["norm"], strict=True):
        axes.plot(gaps, norms, color=COLORS[name], lw=2, label=LABELS[name])
    axes.plot(gaps, np.sqrt(16 + 4 * (C - 2) + 4 * C**2) * np.exp(-gaps), color="black", ls=":", label="slope −1")
    axes.axhline(np.sqrt(2), color="black", ls="--", lw=1, label="largest possible, √2")
    axes.set(yscale="log", xlabel="lead of a wrong class (logits)", ylabel="norm of the gradient in the logits")
    axes.set_title("Gradient when confidently wrong")
    axes.legend(loc="lower left")
    return figure


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """Return the slope of log y over x by least squares."""
    return float(np.polyfit(x, np.log(y), 1)[0])


@jax.jit
def _measured(z: jax.Array) -> tuple[jax.Array, ...]:
    """Return cross-entropy's gradients and Hessians at rows z, and the norms and steps of both losses."""
    apart = jnp.eye(z.shape[1])[-1]  # times a gap: the last class is ahead of all others
    gradients, hessians = jax.vmap(jax.vmap(derivatives, (None, 0)), (0, None))(z, jnp.arange(z.shape[1]))
    norms, steps = [], []
    for loss in LOSSES.values():
        norms.append(jax.vmap(lambda gap, loss=loss: jnp.linalg.norm(gradient_of(loss, gap * apart)))(GAPS))
        steps.append(jax.vmap(lambda gap, loss=loss: steps_until_right(loss, gap * apart))(WAITS))
    return jnp.moveaxis(gradients, 2, 0), hessians, jnp.stack(norms), jnp.stack(steps)


def derivatives(z: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return cross-entropy's gradient, by hand and by autodiff (2, C), and its Hessian at one row z and label y."""

    def loss(z: jax.Array) -> jax.Array:
        return cross_entropy(z[None], y[None])

    gradients = cross_entropy.logits_gradient(z[None], y[None])[0], jax.grad(loss)(z)
    return jnp.stack(gradients), jax.hessian(loss)(z)


def gradient_of(loss: Loss, z: jax.Array) -> jax.Array:
    """Return a loss's gradient in the logits of one row, the label being class 0."""
    return loss.logits_gradient(z[None], jnp.zeros(1, int))[0]


def steps_until_right(loss: Loss, z: jax.Array) -> jax.Array:
    """Return the steps of gradient descent on the logits of one row until class 0 has the largest."""

    def wrong(state: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.any(state[0][1:] >= state[0][0])

    def step(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return state[0] - gradient_of(loss, state[0]), state[1] + 1

    return jax.lax.while_loop(wrong, step, (z, jnp.array(0)))[1]
