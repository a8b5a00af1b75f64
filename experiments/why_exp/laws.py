"""Seven laws that one would ask of probabilities, and seven normalisers.

Random logits of several scales in float64, five options, label 0. The size by which a law is broken is: the share of
probabilities that are not positive; by how much a higher logit's probability can be the lower one; how far p moves
under z -> z + c; by how much the ratio r = p_i / p_j can change, to r', when the last option is dropped, as
|r - r'| / (r + r'); minus the smallest eigenvalue of the loss's Hessian; by how much an entry of the gradient exceeds
1; and how far the gradient is from p - y. Rounding is not counted. Sparsemax has its own loss, the others -log p.
Another base than e would only multiply p - y by a factor.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import image_axes, panels
from experiments.tasks import generator
from experiments.why_exp.normalisers import NORMALISERS

FORMULA = (
    r"p_j = \frac{s(z_j)}{\sum_k s(z_k)}, \qquad p(z + c) = p(z) \; \text{for all} \; c"
    r" \;\Rightarrow\; s(z) = a \, e^{\beta z}"
)
LAWS = {
    "positive": "every p is above 0",
    "order": "higher logit, no lower p",
    "shift": "z + c gives the same p",
    "independence": "odds need no third option",
    "convex": "loss is convex in z",
    "bounded": "no gradient entry above 1",
    "gradient": "gradient is p - y",
}
ROUNDING = 1e-9  # far above float64's, which grows to about 1e-14 here, and far below every law that is broken


@dataclass(frozen=True)
class Config:
    """The normaliser is varied, the logits are held fixed."""

    options: int = 5
    scales: tuple[float, ...] = (1e-3, 1e-2, 0.1, 1.0, 3.0, 10.0, 30.0)  # standard deviations of logits and shifts
    draws: int = 1000  # of each scale


FULL = Config()
QUICK = Config(draws=100)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Measure by how much each normaliser breaks each law, at worst: "size" (normalisers, laws), 0 if it keeps it."""
    rng = generator(key)
    scales = np.repeat(config.scales, config.draws)
    z = scales[:, None] * rng.standard_normal((len(scales), config.options))
    c = scales * rng.standard_normal(scales.shape)
    with jax.enable_x64(True):
        evaluated = jax.tree.map(np.asarray, _evaluated(z, c))
    sizes = [list(violations(z, *evaluated[name]).values()) for name in NORMALISERS]
    return {
        "normaliser": np.array(list(NORMALISERS)),
        "law": np.array(list(LAWS)),
        "size": np.maximum(sizes, 0),
    }


@jax.jit
def _evaluated(z: Any, c: Any) -> dict[str, tuple[Any, ...]]:
    """Return p(z), p(z + c), p without the last option, and the loss's gradient and Hessian for label 0, by name."""
    found = {}
    for name, normaliser in NORMALISERS.items():

        def gradient(z: Any, of_batch: Any = normaliser.loss.logits_gradient) -> tuple[Any, Any]:
            delta = of_batch(z[None, :], jnp.zeros(1, int))[0]
            return delta, delta

        p, shifted = normaliser.probabilities(jnp.stack([z, z + c[:, None]]))
        hessian, delta = jax.vmap(jax.jacfwd(gradient, has_aux=True))(z)
        found[name] = p, shifted, normaliser.probabilities(z[:, :-1]), delta, hessian
    return found


def violations(z: Any, p: Any, shifted: Any, without: Any, delta: Any, hessian: Any) -> dict[str, float]:
    """Return by how much each law is broken, at worst over logits z (N, C)."""
    higher = z[:, :, None] > z[:, None, :]
    left = p[:, :-1, None] * without[:, None, :]  # p_i p'_j
    right = np.swapaxes(left, 1, 2)
    return {
        "positive": np.mean(p <= 0),
        "order": np.max(np.where(higher, p[:, None, :] - p[:, :, None], 0)),
        "shift": np.max(np.abs(shifted - p)),
        "independence": np.max(np.abs(left - right) / np.where(left + right == 0, 1, left + right)),
        "convex": -np.min(np.linalg.eigvalsh(hessian)),
        "bounded": np.max(np.abs(delta)) - 1,
        "gradient": np.max(np.abs(delta - (p - np.eye(p.shape[1])[0]))),
    }


def size(n: Numbers, normaliser: str, law: str) -> float:
    """Return by how much a normaliser breaks a law."""
    return float(n["size"][n.at(normaliser=normaliser), n.at(law=law)])


def kept(n: Numbers) -> np.ndarray:
    """Return how many laws each normaliser keeps."""
    return np.sum(n["size"] <= ROUNDING, axis=1)


LOGITS = "{n.config.draws:,} random logits of each standard deviation in {n.config.scales}, {n.config.options} options"


@equals(
    len(LAWS),
    f"The normaliser exp keeps all {len(LAWS)} laws.",
    within=0,
    source="Luce, 1959; Yellott, 1977; derived: (log exp)' = 1, Hessian diag(p) - p p^T",
    how=f"worst of {LOGITS}, float64; kept: broken by at most {ROUNDING:g}",
    must=True,
)
def laws_of_exp(n: Numbers) -> int:
    return int(kept(n)[n.at(normaliser="exp")])


@at_most(
    len(LAWS) - 1,
    "No other normaliser keeps them all.",
    source="derived: a score s that keeps shifts has s(z + c) = f(c) s(z), which is exp; sparsemax has no score",
    how=f"the most that any of the others keeps; worst of {LOGITS}, float64",
    must=True,
)
def laws_of_others(n: Numbers) -> int:
    return int(kept(n)[n["normaliser"] != "exp"].max())


breaking = partial(at_least, 0.1, must=True)  # far above rounding


@breaking(
    f"The normaliser {{normaliser}} turns the order round: it breaks '{LAWS['order']}'.",
    source="derived: z^2 falls below 0, so -3 gets more than 2, and 1 + z + z^2/2 falls below z = -1",
    how="by how much the probability of a higher logit is lower; worst of " + LOGITS,
    normaliser=("square", "taylor"),
)
def breaks_order(n: Numbers, normaliser: str) -> float:
    return size(n, normaliser, "order")


@breaking(
    f"The normaliser {{normaliser}} takes a shift of all logits for news: it breaks '{LAWS['shift']}'.",
    source="derived: its score is z + c or 1 + z + c for large c, or saturates, so that all p -> 1/C",
    how="how far a probability moves when all logits do; worst of " + LOGITS,
    normaliser=("softplus", "sigmoid", "stablemax"),
)
def breaks_shift(n: Numbers, normaliser: str) -> float:
    return size(n, normaliser, "shift")


@breaking(
    f"Sparsemax rules options out: it breaks '{LAWS['positive']}'.",
    source="Martins & Astudillo, 2016: p is 0 off the support",
    how="share of probabilities that are exactly 0; " + LOGITS,
)
def sparsemax_breaks_positive(n: Numbers) -> float:
    return size(n, "sparsemax", "positive")


def picture(n: Numbers) -> Figure:
    """Draw a matrix of marks, law by normaliser, with the size if a law is broken."""
    figure, axes = panels(figsize=(7.2, 4.2))
    for (column, line), broken in np.ndenumerate(n["size"]):
        keeps = broken <= ROUNDING
        color = "#cfe3f3" if keeps else "#f6b26b"
        axes.add_patch(Rectangle((column - 0.5, line - 0.5), 1, 1, facecolor=color, edgecolor="white", lw=2))
        text = "✓" if keeps else f"✗ {broken:.2g}".replace("e+0", "e")
        axes.text(column, line, text, ha="center", va="center", fontsize=9)
    names = [f"{name}\n{count} of {len(LAWS)}" for name, count in zip(n["normaliser"], kept(n), strict=True)]
    axes.set_xticks(np.arange(len(names)), names, fontsize=8.5)
    axes.set_yticks(np.arange(len(n["law"])), [LAWS[law] for law in n["law"]])
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(n["law"]) - 0.5, -0.5))
    image_axes(axes).xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("✓ keeps the law, ✗ breaks it by so much")
    return figure
