"""From which gap on the gradient of the usual cross-entropy is exactly 0 in float32.

One logit leads C - 1 equal ones by a gap, and is the label's. The true gradient in it, p_y - 1, is about
-(C - 1) exp(-gap). Computed as exp(0) / (exp(0) + ...) - 1 it is exactly 0 as soon as the sum rounds to 1: in 24 bits,
if the rest is at most 2^-24. When that is depends on the order of adding. The gap is found by bisection, in numpy with
both orders, and through jax.grad for jax.nn.log_softmax and optax. Ours, cross_entropy of this library by hand and by
jax.grad, is compared with float64 at every gap down to the end of float32, with equal and with random losers. It is
also tried on cases that were reported as bugs of scipy, JAX, PyTorch and MLX.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import Claim, at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, largest
from experiments.tasks import generator

FORMULA = (
    r"\frac{\partial \mathcal{L}}{\partial z_y} = p_y - 1 = -\frac{S}{S + e^{z_y}}, \quad S = \sum_{j \neq y} e^{z_j},"
    r" \qquad \mathrm{gap}^* = \ln\left((C - 1) \, 2^{24}\right)"
)
LABEL = np.zeros(1, np.int32)  # the leader is option 0
EPS = 2.0**-23  # of float32
SHOWN = 10  # classes, in the picture
LOST = np.float32(1 - np.log(EPS))  # a lead at which the usual formula loses the loss


@dataclass(frozen=True)
class Config:
    """The gap, the number of classes and the formula are varied."""

    classes: tuple[int, ...] = (2, 10, 113)
    gaps: int = 2001  # at which ours is checked
    last_gap: float = 87.0  # exp(-87.3) is the smallest normal number of float32


FULL = Config()
QUICK = Config(gaps=201)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Find the gaps at which gradients vanish, check ours at every gap, and repeat reported cases.

    Returns:
      "zero", the gap of each formula and number of classes; "gradient" of each formula at each "gap" of the picture;
      "error" of ours, by hand and by jax.grad (2, classes, gaps): relative, over (range + 8) 2^-23, the worse of equal
      and random losers; and what ours and the usual formula make of each reported case (2, offsets).
    """
    shown = np.linspace(0, 90, 181)
    curves = [gradients(np.full((len(FORMULAS), len(config.classes)), gap), config.classes) for gap in shown]
    zero = gaps_of_zero(config.classes)
    progress(0.5)
    rng = generator(key)
    logits = [examples(config, rng, C) for C in config.classes]
    errors = [
        np.abs(np.array(of_ours) / truth(z) - 1) / ((np.ptp(z, axis=1) + 8) * EPS)
        for z, of_ours in zip(logits, ours_both_ways(logits), strict=True)
    ]
    return {
        "classes": np.array(config.classes),
        "formula": np.array(FORMULAS),
        "zero": zero,
        "gap": shown,
        "gradient": np.array(curves)[:, :, config.classes.index(SHOWN)].T,
        "by": np.array(["by hand", "by jax.grad"]),
        "error": np.stack(errors, axis=1).reshape(2, len(errors), 2, -1).max(axis=2).astype(np.float32),
        **reported(),
    }


def one_by_one(z: np.ndarray) -> float:
    """Return p_y - 1 of logits (1, C) in numpy float32, each loser added to the winner's 1."""
    winner, *losers = np.exp(z[0] - z[0, 0])
    return float(1 / sum(losers, winner) - 1)


def losers_first(z: np.ndarray) -> float:
    """Return p_y - 1 of logits (1, C) in numpy float32, the losers added up before the winner's 1."""
    e = np.exp(z[0] - z[0, 0])
    return float(1 / (e[0] + np.sum(e[1:])) - 1)


IN_NUMPY = {"numpy, one by one": one_by_one, "numpy, losers first": losers_first}
IN_JAX: dict[str, Callable[[Any], Any]] = {
    "jax": jax.grad(lambda z: -jax.nn.log_softmax(z)[0, 0]),
    "optax": jax.grad(lambda z: jnp.sum(optax.softmax_cross_entropy_with_integer_labels(z, LABEL))),
    "ours": lambda z: mlp_jax.cross_entropy.logits_gradient(z, LABEL),
}
FORMULAS = (*IN_NUMPY, *IN_JAX)


def gradients(gaps: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Return p_y - 1 by every formula and for every number of classes, each at its own gap (formulas, classes)."""
    logits = [
        [np.array([[gap, *(C - 1) * [0]]], np.float32) for gap, C in zip(row, classes, strict=True)] for row in gaps
    ]
    in_numpy = [[of(z) for z in row] for of, row in zip(IN_NUMPY.values(), logits, strict=False)]
    return np.array([*in_numpy, *jax.device_get(_in_jax(logits[len(IN_NUMPY) :]))], float)


@jax.jit
def _in_jax(logits: Any) -> Any:
    return [[of(z)[0, 0] for z in row] for of, row in zip(IN_JAX.values(), logits, strict=True)]


def gaps_of_zero(classes: Sequence[int]) -> np.ndarray:
    """Return the gap from which on each gradient is exactly 0, by bisection (formulas, classes)."""
    low, high = np.full((len(FORMULAS), len(classes)), 1.0), np.full((len(FORMULAS), len(classes)), 100.0)
    while np.max(high - low) > 1e-7:
        middle = (low + high) / 2
        is_zero = gradients(middle, classes) == 0
        low, high = np.where(is_zero, low, middle), np.where(is_zero, middle, high)
    return high


def examples(config: Config, rng: np.random.Generator, classes: int) -> np.ndarray:
    """Return logits (2 N, C) of N gaps, all within the last gap: first with equal losers, then with random ones."""
    gaps = np.linspace(0, config.last_gap, config.gaps)
    unequal = (gaps - config.last_gap)[:, None] * rng.random((config.gaps, classes))
    unequal[:, 1] = 0
    z = np.concatenate([np.zeros_like(unequal), unequal])
    z[:, 0] = np.tile(gaps, 2)
    return z.astype(np.float32)


@jax.jit
def ours_both_ways(logits: Any) -> Any:
    """Return p_y - 1 for arrays of logits (N, C), by hand and by jax.grad, each example a batch of its own."""
    by_hand = jax.vmap(lambda z: mlp_jax.cross_entropy.logits_gradient(z[None, :], LABEL)[0, 0])
    by_autodiff = jax.vmap(jax.grad(lambda z: mlp_jax.cross_entropy(z[None, :], LABEL)))
    return [(by_hand(z), by_autodiff(z)[:, 0]) for z in logits]


def truth(z: np.ndarray) -> np.ndarray:
    """Return p_y - 1 of float32 logits z (N, C), in float64."""
    S = np.exp(z[:, 1:].astype(float) - z[:, :1]).sum(axis=1)
    return -S / (1 + S)


def reported() -> dict[str, np.ndarray]:
    """Return what ours and the usual formula make of each reported case (2, offsets), the largest offset first."""
    equal = np.array([[offset, offset] for offset in (1e8, 1e6, 1e4, 1)], np.float32)
    apart = np.array([[offset + 2, offset - 1] for offset in (1e6, 1e4, 1)], np.float32)
    with jax.enable_x64(True):
        cases = _reported(
            np.array([37.42994775023705, 0]), np.array([0.0, -40]), np.array([LOST, 0], np.float32), equal, apart
        )
    return {name: np.array(case).reshape(2, -1) for name, case in cases.items()}


@jax.jit
def _reported(far: Any, double: Any, single: Any, equal: Any, apart: Any) -> dict[str, Any]:
    softmaxes: tuple[Callable[[Any], Any], ...] = (mlp_jax.log_softmax, jax.nn.log_softmax)
    losses = (mlp_jax.cross_entropy, optax.softmax_cross_entropy_with_integer_labels)
    of_pairs = [partial(jax.lax.map, lambda z, loss=loss: jnp.sum(loss(z[None, :], LABEL))) for loss in losses]
    return {
        "JAX #40384": [jax.jacobian(log_softmax)(far)[0, 0] for log_softmax in softmaxes],
        "scipy #18295": [-log_softmax(double)[0] for log_softmax in softmaxes],
        "PyTorch #113708": [-log_softmax(single)[0] for log_softmax in softmaxes],
        "PyTorch #11752": [of(equal) for of in of_pairs],
        "MLX #4188": [of(apart) for of in of_pairs],
    }


LEAST = float(np.log(2.0**24))
CLASSES = (2, 10, 113)
DERIVED = "derived: 1 + s rounds to 1 for s <= 2^-24 (Prieto et al., 2025, with 2^-23)"
BISECTION = "gap by bisection; float32 steps at such gaps are 2e-6, the losers' sum rounds by 7e-6 at most"


def greatest(n: Numbers, classes: int) -> float:
    """Return the gap from which on the losers together are at most 2^-24."""
    return LEAST + float(np.log(classes - 1))


def zero(n: Numbers, formula: str, classes: int) -> float:
    """Return the gap from which on a formula's gradient is 0."""
    return float(n["zero"][n.at(formula=formula), n.at(classes=classes)])


def farthest(found: np.ndarray, expected: float) -> float:
    """Return the number that is farthest from the expected one."""
    return float(found[np.argmax(np.abs(found - expected))])


@equals(
    LEAST,
    "With the losers added one by one the label's gradient is 0 from ln 2^24 on, for any C.",
    within=1e-5,
    source=DERIVED,
    how=BISECTION + "; the worst of C = {n.config.classes}",
    must=True,
)
def gap_one_by_one(n: Numbers) -> float:
    return farthest(n["zero"][n.at(formula="numpy, one by one")], LEAST)


@equals(
    greatest,
    "With the losers summed first it is 0 from ln((C - 1) 2^24) on, C = {classes}.",
    within=1e-5,
    source=DERIVED,
    how=BISECTION,
    must=True,
    classes=CLASSES,
)
def gap_losers_first(n: Numbers, classes: int) -> float:
    return zero(n, "numpy, losers first", classes)


@equals(
    lambda n, library, classes: (LEAST + greatest(n, classes)) / 2,
    "Through {library}'s own log p it is 0 from a gap between ln 2^24 and ln((C - 1) 2^24) on, C = {classes}.",
    within=lambda n, library, classes: (greatest(n, classes) - LEAST) / 2 + 1e-5,
    source=DERIVED + ", in any order; XLA's depends on its version and on the shape",
    how="jax.grad of jax.nn.log_softmax and of optax's softmax_cross_entropy; " + BISECTION,
    library=("jax", "optax"),
    classes=CLASSES,
)
def gap(n: Numbers, library: str, classes: int) -> float:
    return zero(n, library, classes)


@at_least(
    lambda n: n.config.last_gap,
    "Ours has a gradient until float32 ends.",
    source="derived: the smallest normal number of float32 is exp(-87.3)",
    how="gap at which it is exactly 0, by bisection; the worst of C = {n.config.classes}",
    must=True,
)
def gap_ours(n: Numbers) -> float:
    return float(n["zero"][n.at(formula="ours")].min())


@at_most(
    1,
    "Ours {by} is right at every gap up to {n.config.last_gap:g}.",
    source="derived: z_j - z_y rounds by half an ulp of the range, which exp makes a relative error",
    how="relative error against float64, over (range + 8) 2^-23; {n.config.gaps:,} gaps, C = {n.config.classes}, "
    "losers equal and not, all logits within {n.config.last_gap:g}",
    must=True,
    by=("by hand", "by jax.grad"),
)
def ours(n: Numbers, by: str) -> Statistic:
    return largest(n["error"][n.at(by=by)])


def loss(lead: Any) -> float:
    """Return the cross-entropy of two logits of which the label's leads."""
    return float(np.log1p(np.exp(-float(lead))))


def no_bug(case: str, right: float, tolerance: float, statement: str) -> Callable[[Callable[..., Any]], Claim]:
    """Return the decorator of a claim: ours gives the right number of a reported case, within a relative tolerance."""
    how = f"within {tolerance:.0e} of it, for rounding; the usual formula gives {{n[{case}][1][0]:.3g}} here"
    source = f"{case}, reported as a bug there"
    return equals(right, statement, within=tolerance * right, source=source, how=how, must=True)


@no_bug("JAX #40384", 5.551115123125776e-17, 1e-14, "In float64 our log_softmax has its gradient at a gap of 37.4.")
def JAX_40384(n: Numbers) -> float:
    return float(n["JAX #40384"][0, 0])


@no_bug("scipy #18295", 4.248354255291589e-18, 1e-14, "In float64 our -log_softmax([0, -40]) keeps its digits.")
def scipy_18295(n: Numbers) -> float:
    return float(n["scipy #18295"][0, 0])


@no_bug("PyTorch #113708", loss(LOST), 25 * EPS, "In float32 our -log_softmax([1 - ln eps, 0]) keeps its digits.")
def PyTorch_113708(n: Numbers) -> float:
    return float(n["PyTorch #113708"][0, 0])


@no_bug("PyTorch #11752", loss(0), 2 * EPS, "Our cross-entropy of two equal logits is ln 2, at 1 and at 1e8.")
def PyTorch_11752(n: Numbers) -> float:
    return farthest(n["PyTorch #11752"][0], loss(0))


@no_bug("MLX #4188", loss(3), 11 * EPS, "Our cross-entropy of (2, -1) is the same with 1e6 added to both.")
def MLX_4188(n: Numbers) -> float:
    return farthest(n["MLX #4188"][0], loss(3))


def picture(n: Numbers) -> Figure:
    """Draw the label's gradient over the gap: usual, ours, and the truth; zeros along the bottom."""
    figure, axes = panels(figsize=(7.0, 4.4))
    gaps, bottom = n["gap"], 1e-42
    logits = np.zeros((len(gaps), SHOWN), np.float32)
    logits[:, 0] = gaps
    axes.plot(gaps, -truth(logits), color="black", lw=3, alpha=0.3, label="truth")
    curves = dict(zip(n["formula"], np.where(n["gradient"] < 0, -n["gradient"], np.nan), strict=True))
    axes.plot(gaps[::6], curves.pop("ours")[::6], "o", ms=4, color="tab:blue", label="ours")
    colors = ("tab:orange", "tab:red", "tab:green", "tab:purple")
    for i, ((name, curve), color) in enumerate(zip(curves.items(), colors, strict=True)):
        from_here = zero(n, name, SHOWN)
        axes.plot(gaps, curve, color=color, lw=1.2)
        level = bottom * 10 ** (0.8 * (1.5 - i))  # all are 0: side by side
        axes.plot([from_here, gaps[-1]], [level, level], color=color, label=f"{name}: 0 from {from_here:.2f} on")
        axes.plot(from_here, level, "x", ms=6, color=color)
    axes.axhline(float(np.finfo(np.float32).tiny), color="gray", ls=":", lw=1)
    axes.annotate("smallest normal float32", (1, 1e-38), va="bottom", fontsize=8, color="gray")
    axes.set(yscale="log", ylim=(1e-45, 10), xlabel="gap of the label's logit to the nine others")
    axes.set_ylabel("size of the gradient in that logit")
    axes.set_yticks([1, 1e-10, 1e-20, 1e-30, bottom], ["1", "10⁻¹⁰", "10⁻²⁰", "10⁻³⁰", "0"])
    axes.minorticks_off()
    axes.legend(loc="upper right")
    return figure
