"""Which laws each normaliser keeps: only exp keeps all seven.

Random logits of several scales in float64, five options, label 0. The size by which a law is broken is: the share of
probabilities that are not positive; by how much a higher logit's probability can be the lower one; how far p moves
under z -> z + c; by how much the ratio r = p_i / p_j can change, to r', when the last option is dropped, as
|r - r'| / (r + r'); minus the smallest eigenvalue of the loss's Hessian; by how much an entry of the gradient exceeds
1; and how far the gradient is from p - y. Rounding is not counted. Sparsemax has its own loss,
the others -log p; another base than e would change p - y by a factor alone.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.protocol import Claim, Finding, Progress
from experiments.why_exp.normalisers import NORMALISERS, Normaliser

FORMULA = (
    r"p_j = \frac{s(z_j)}{\sum_k s(z_k)}, \qquad p(z + c) = p(z) \; \text{for all} \; c"
    r" \;\Rightarrow\; s(z) = a \, e^{\beta z}"
)
CAPTION = "Seven laws and seven normalisers: what keeps a law, and by how much it is broken elsewhere."

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

BROKEN = {  # a law that each normaliser breaks, how the claim says so, and why it is known beforehand
    "square": ("order", "Squares turn the order round", "derived: z^2 falls below 0, so -3 gets more than 2"),
    "taylor": ("order", "Taylor's score turns the order round", "derived: 1 + z + z^2/2 falls below z = -1"),
    "softplus": ("shift", "Softplus takes a shift for news", "derived: z + c for large c, so that all p -> 1/C"),
    "sigmoid": ("shift", "Sigmoids take a shift for news", "derived: they saturate, so that all p -> 1/C"),
    "sparsemax": ("positive", "Sparsemax rules options out", "Martins & Astudillo, 2016: p is 0 off the support"),
    "stablemax": ("shift", "StableMax takes a shift for news", "derived: 1 + z + c for large c, so that all p -> 1/C"),
}


@dataclass(frozen=True)
class Config:
    """The normaliser is varied, the logits are held fixed."""

    options: int = 5
    scales: tuple[float, ...] = (1e-3, 1e-2, 0.1, 1.0, 3.0, 10.0, 30.0)  # standard deviations of logits and shifts
    draws: int = 1000  # of each scale


FULL = Config()
QUICK = Config(draws=100)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Measure by how much each normaliser breaks each law."""
    with jax.enable_x64(True):
        scales = jnp.repeat(jnp.asarray(config.scales), config.draws)
        of_z, of_c = jax.random.split(key)
        z = scales[:, None] * jax.random.normal(of_z, (len(scales), config.options), float)
        c = scales * jax.random.normal(of_c, scales.shape, float)
        sizes: dict[str, dict[str, float]] = {}
        for i, normaliser in enumerate(NORMALISERS.values()):
            progress(i / len(NORMALISERS))
            sizes[normaliser.name] = violations(normaliser, z, c)
    data = {"laws": LAWS, "sizes": sizes, "rounding": ROUNDING}
    return Finding(claims(config, sizes), data)


def violations(normaliser: Normaliser, z: Any, c: Any) -> dict[str, float]:
    """Return by how much each law is broken, at worst over logits z (N, C) and shifts c (N,)."""
    p, shifted, without, delta, hessian = map(np.asarray, _evaluated(normaliser, z, c))
    z = np.asarray(z)
    higher = z[:, :, None] > z[:, None, :]
    left = p[:, :-1, None] * without[:, None, :]  # p_i p'_j
    right = np.swapaxes(left, 1, 2)
    sizes = {
        "positive": np.mean(p <= 0),
        "order": np.max(np.where(higher, p[:, None, :] - p[:, :, None], 0)),
        "shift": np.max(np.abs(shifted - p)),
        "independence": np.max(np.abs(left - right) / np.where(left + right == 0, 1, left + right)),
        "convex": -np.min(np.linalg.eigvalsh(hessian)),
        "bounded": np.max(np.abs(delta)) - 1,
        "gradient": np.max(np.abs(delta - (p - np.eye(p.shape[1])[0]))),
    }
    return {law: max(float(size), 0.0) for law, size in sizes.items()}


@partial(jax.jit, static_argnums=0)
def _evaluated(normaliser: Normaliser, z: Any, c: Any) -> tuple[Any, ...]:
    """Return p(z), p(z + c), p without the last option, and the loss's gradient and Hessian for label 0."""

    def gradient(z: Any) -> Any:
        return normaliser.loss.logits_gradient(z[None, :], jnp.zeros(1, int))[0]

    p = normaliser.probabilities
    return p(z), p(z + c[:, None]), p(z[:, :-1]), jax.vmap(gradient)(z), jax.vmap(jax.jacfwd(gradient))(z)


def claims(config: Config, sizes: dict[str, dict[str, float]]) -> tuple[Claim, ...]:
    """One claim for exp, one for all others together, and one for each of them."""
    kept = {name: sum(size <= ROUNDING for size in row.values()) for name, row in sizes.items()}
    best = max((name for name in kept if name != "exp"), key=lambda name: kept[name])
    how = (
        f"worst of {config.draws * len(config.scales):,} random logits, {config.options} options, standard deviations "
        f"{config.scales[0]:g} to {config.scales[-1]:g}, float64"
    )
    return (
        Claim(
            "laws of exp", f"The normaliser exp keeps all {len(LAWS)} laws.", "=", len(LAWS),
            "Luce, 1959; Yellott, 1977; derived: (log exp)' = 1, Hessian diag(p) - p p^T",
            kept["exp"], f"{how}; kept: broken by at most {ROUNDING:g}", exact=True,
        ),
        Claim(
            "laws of others", "No other normaliser keeps them all.", "<=", len(LAWS) - 1,
            "derived: a score s that keeps shifts has s(z + c) = f(c) s(z), which is exp; sparsemax has no score",
            kept[best], f"the most that any of the others keeps, here {best}; {how}", exact=True,
        ),
        *(
            Claim(
                f"{name} breaks {law}", f"{what}: it breaks '{LAWS[law]}'.", ">=", 0.1, why, sizes[name][law],
                f"{MEANING[law]}; {how}; 0.1 is far above rounding", exact=True,
            )
            for name, (law, what, why) in BROKEN.items()
        ),
    )  # fmt: skip


MEANING = {
    "positive": "share of probabilities that are exactly 0",
    "order": "by how much the probability of a higher logit is lower",
    "shift": "how far a probability moves when all logits do",
}


def picture(data: dict[str, Any]) -> Figure:
    """A matrix of marks, law by normaliser, with the size where a law is broken."""
    laws, sizes = data["laws"], data["sizes"]
    figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    for column, row in enumerate(sizes.values()):
        for line, law in enumerate(laws):
            keeps = row[law] <= data["rounding"]
            color = "#cfe3f3" if keeps else "#f6b26b"
            axes.add_patch(Rectangle((column - 0.5, line - 0.5), 1, 1, facecolor=color, edgecolor="white", lw=2))
            text = "✓" if keeps else f"✗ {shown(row[law])}"
            axes.text(column, line, text, ha="center", va="center", fontsize=9)
    kept = [sum(size <= data["rounding"] for size in row.values()) for row in sizes.values()]
    names = [f"{name}\n{count} of {len(laws)}" for name, count in zip(sizes, kept, strict=True)]
    axes.set_xticks(np.arange(len(sizes)), names, fontsize=8.5)
    axes.set_yticks(np.arange(len(laws)), laws.values(), fontsize=9)
    axes.set(xlim=(-0.5, len(sizes) - 0.5), ylim=(len(laws) - 0.5, -0.5))
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title("✓ keeps the law, ✗ breaks it by so much", fontsize=10)
    return figure


def shown(size: float) -> str:
    """A size in few letters.

    >>> shown(0.123), shown(1.0), shown(998.7), shown(123456.0)
    ('.12', '1.0', '999', '1e5')
    """
    if size >= 1e4:
        return f"{size:.0e}".replace("e+0", "e")
    return f"{size:.0f}" if size >= 10 else f"{size:.1f}" if size >= 0.995 else f"{size:.2f}".lstrip("0")
