"""The price of exp in float32: from which logit gap on the gradient of the usual cross-entropy is exactly 0.

One logit leads C - 1 equal ones by a gap, and is the label's. The true gradient in it, p_y - 1, is about
-(C - 1) exp(-gap). Computed as exp(0) / (exp(0) + ...) - 1 it is exactly 0 as soon as the sum rounds to 1: in 24 bits,
where the rest is at most 2^-24. When that is depends on the order of adding. The gap is found by bisection, in numpy
with both orders, and through jax.grad for jax.nn.log_softmax and optax. Ours, cross_entropy of this library by hand and
by jax.grad, is held against mpmath at every gap down to where float32 itself ends, and on cases that were reported as
bugs of scipy, JAX, PyTorch and MLX.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import mpmath
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments.protocol import Claim, Finding, Progress
from experiments.tasks import generator

FORMULA = (
    r"\frac{\partial \mathcal{L}}{\partial z_y} = p_y - 1 = -\frac{S}{S + e^{z_y}}, \quad S = \sum_{j \neq y} e^{z_j},"
    r" \qquad \mathrm{gap}^* = \ln\left((C - 1) \, 2^{24}\right)"
)
CAPTION = (
    "The gradient in the label's logit, float32, ten classes. The usual formulas lose it at a gap of 17 to 19; written "
    "without the subtraction p - 1 it is right to where float32 ends."
)

LABEL = np.zeros(1, np.int32)  # the leader is option 0
EPS = 2.0**-23  # of float32


@dataclass(frozen=True)
class Config:
    """The gap, the number of classes and the formula are varied."""

    classes: tuple[int, ...] = (2, 10, 113)
    gaps: int = 2001  # at which ours is checked
    last_gap: float = 87.0  # exp(-87.3) is the smallest normal number of float32
    offsets: tuple[float, ...] = (1.0, 1e4, 1e6, 1e8)  # added to both logits of a pair


FULL = Config()
QUICK = Config(gaps=201)


def leader(gap: float, classes: int) -> np.ndarray:
    """Logits (1, C) of which the first leads the others by the gap."""
    return np.array([[gap, *(classes - 1) * (0,)]], np.float32)


def one_by_one(gap: float, classes: int) -> float:
    """p_y - 1 in numpy float32, each loser added to the winner's 1."""
    loser = np.exp(-np.float32(gap))
    total = np.float32(1)
    for _ in range(classes - 1):
        total += loser
    return float(1 / total - 1)


def losers_first(gap: float, classes: int) -> float:
    """p_y - 1 in numpy float32, the losers added up before the winner's 1."""
    losers = np.exp(-np.full(classes - 1, gap, np.float32))
    return float(1 / (np.float32(1) + np.sum(losers)) - 1)


def of_loss(loss: Callable[[Any, Any], Any]) -> Callable[[float, int], float]:
    """Return the function that gives p_y - 1 as jax.grad of a loss does."""
    gradient = jax.jit(jax.grad(lambda z: jnp.sum(loss(z, LABEL))))
    return lambda gap, classes: float(gradient(leader(gap, classes))[0, 0])


USUAL: dict[str, Callable[[float, int], float]] = {
    "numpy, one by one": one_by_one,
    "numpy, losers first": losers_first,
    "jax.nn.log_softmax": of_loss(lambda z, labels: -jax.nn.log_softmax(z)[0, 0]),
    "optax": of_loss(optax.softmax_cross_entropy_with_integer_labels),
}


@jax.jit
def ours(z: Any) -> dict[str, Any]:
    """Return p_y - 1 of logits z (N, C) by hand and by jax.grad, each example a batch of its own."""
    by_hand = jax.vmap(lambda z: mlp_jax.cross_entropy.logits_gradient(z[None, :], LABEL)[0, 0])
    by_autodiff = jax.vmap(jax.grad(lambda z: mlp_jax.cross_entropy(z[None, :], LABEL)))
    return {"by hand": by_hand(z), "by jax.grad": by_autodiff(z)[:, 0]}


def truth(z: np.ndarray) -> np.ndarray:
    """Return p_y - 1 of logits z (N, C), in 50 digits, rounded once to float64."""
    with mpmath.workdps(50):
        S = [mpmath.fsum(mpmath.exp(mpmath.mpf(float(rival)) - float(row[0])) for rival in row[1:]) for row in z]
        return np.array([float(-s / (1 + s)) for s in S])


def gap_of_zero(gradient: Callable[[float, int], float], classes: int) -> float:
    """Return the gap from which on the gradient is exactly 0, by bisection."""
    low, high = 1.0, 100.0
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (low, middle) if gradient(middle, classes) == 0 else (middle, high)
    return high


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Find the gaps at which gradients vanish, check ours at every gap, and repeat reported cases."""
    zeros = {name: {C: gap_of_zero(gradient, C) for C in config.classes} for name, gradient in USUAL.items()}
    zeros["ours"] = {2: gap_of_zero(lambda gap, C: float(ours(leader(gap, C))["by hand"][0]), 2)}
    progress(0.5)
    rng = generator(key)
    gaps = np.linspace(0, config.last_gap, config.gaps)
    worst = {"by hand": 0.0, "by jax.grad": 0.0}
    for C in config.classes:
        equal = np.zeros((config.gaps, C), np.float32)
        unequal = ((gaps - config.last_gap)[:, None] * rng.random((config.gaps, C))).astype(np.float32)
        unequal[:, 1] = 0
        for z in (equal, unequal):
            z[:, 0] = gaps
            exact, bound = truth(z), (np.ptp(z, axis=1) + 8) * EPS
            for name, gradient in ours(z).items():
                worst[name] = max(worst[name], float(np.max(np.abs(np.asarray(gradient) / exact - 1) / bound)))
    shown = np.linspace(0, 90, 181)
    C = config.classes[len(config.classes) // 2]
    curves = {name: [-gradient(float(gap), C) for gap in shown] for name, gradient in USUAL.items()}
    logits = np.zeros((len(shown), C), np.float32)
    logits[:, 0] = shown
    data = {
        "zeros": {name: {str(classes): gap for classes, gap in by_C.items()} for name, by_C in zeros.items()},
        "classes": C,
        "gaps": shown,
        "usual": curves,
        "ours": -ours(logits)["by hand"],
        "truth": -truth(logits),
        "reported": (cases := reported(config)),
    }
    return Finding(claims(config, zeros, worst, cases), data)


def reported(config: Config) -> dict[str, dict[str, Any]]:
    """Cases that were reported as bugs: the right number, ours, and what the usual formula makes of it here."""
    softmaxes: dict[str, Callable[[Any], Any]] = {"ours": mlp_jax.log_softmax, "usual": jax.nn.log_softmax}
    cases: dict[str, dict[str, Any]] = {
        "JAX 40384": {"right": 5.551115123125776e-17},
        "scipy 18295": {"right": 4.248354255291589e-18},
    }
    lost = np.array([1 - np.log(np.finfo(np.float32).eps), 0], np.float32)
    cases["PyTorch 113708"] = {"right": float(np.log1p(np.exp(-float(lost[0]))))}
    for name, log_softmax in softmaxes.items():
        with jax.enable_x64(True):
            gradient = jax.jit(jax.jacobian(log_softmax))(jnp.array([37.42994775023705, 0.0], float))[0, 0]
            cases["JAX 40384"][name] = float(gradient)
            cases["scipy 18295"][name] = -float(log_softmax(jnp.array([0.0, -40.0], float))[0])
        cases["PyTorch 113708"][name] = -float(log_softmax(jnp.array(lost))[0])
    losses: dict[str, Callable[[Any, Any], Any]] = {
        "ours": mlp_jax.cross_entropy,
        "usual": optax.softmax_cross_entropy_with_integer_labels,
    }
    for name, pair, most in (("PyTorch 11752", (0.0, 0.0), 1e8), ("MLX 4188", (2.0, -1.0), 1e6)):
        pairs = [jnp.array([pair], jnp.float32) + offset for offset in config.offsets if offset <= most]
        right = float(np.log1p(np.exp(pair[1] - pair[0])))
        cases[name] = {"right": right}
        for formula, loss in losses.items():
            of_one = jax.jit(lambda z, loss=loss: jnp.sum(loss(z, LABEL)))
            found = np.array([float(of_one(z)) for z in pairs])
            cases[name][formula] = float(found[np.argmax(np.abs(found - right))])  # at the worst offset
    return cases


def claims(
    config: Config, zeros: dict[str, dict[int, float]], worst: dict[str, float], cases: dict[str, dict[str, Any]]
) -> tuple[Claim, ...]:
    """The gaps at which gradients vanish, how right ours is, and the reported cases."""
    one, by_one, first = float(np.log(2.0**24)), zeros["numpy, one by one"], zeros["numpy, losers first"]
    derived = "derived: 1 + s rounds to 1 for s <= 2^-24 (Prieto et al., 2025, with 2^-23)"
    gap = "gap by bisection; float32 steps at such gaps are 2e-6, the losers' sum rounds by 7e-6 at most"
    made = [
        Claim(
            "gap one by one", "With the losers added one by one the label's gradient is 0 from ln 2^24 on, whatever C.",
            "=", one, derived, max(by_one.values(), key=lambda found: abs(found - one)),
            f"{gap}; the worst of C = {config.classes}", tolerance=1e-5, exact=True,
        )
    ]  # fmt: skip
    for C in config.classes:
        last = float(np.log((C - 1) * 2.0**24))
        made.append(
            Claim(
                f"gap losers first {C}", f"With the losers summed first it is 0 from ln((C - 1) 2^24) on, C = {C}.",
                "=", last, derived, first[C], gap, tolerance=1e-5, exact=True,
            )
        )  # fmt: skip
        for name, short in (("jax.nn.log_softmax", "jax"), ("optax", "optax")):
            made.append(
                Claim(
                    f"gap {short} {C}",
                    f"Through {name} it is 0 from a gap between {one:.2f} and {last:.2f} on, C = {C}.",
                    "=", (one + last) / 2, f"{derived}, in any order; XLA's depends on its version and on the shape",
                    zeros[name][C], f"{gap}; between {one:.2f} and {last:.2f}", tolerance=(last - one) / 2 + 1e-5,
                )
            )  # fmt: skip
    made.append(
        Claim(
            "gap ours", "Ours has a gradient until float32 ends.", ">=", config.last_gap,
            "derived: the smallest normal number of float32 is exp(-87.3)", zeros["ours"][2],
            "gap at which it is exactly 0, C = 2, by bisection", exact=True,
        )
    )  # fmt: skip
    for name, error in worst.items():
        made.append(
            Claim(
                f"ours {name}", f"Ours {name} is right at every gap up to {config.last_gap:g}.", "<=", 1.0,
                "derived: z_j - z_y rounds by half an ulp of the range, which exp makes a relative error", error,
                f"largest relative error against mpmath, over (range + 8) 2^-23; {config.gaps:,} gaps, C = "
                f"{config.classes}, losers equal and not, all logits within {config.last_gap:g}", exact=True,
            )
        )  # fmt: skip
    statements = {
        "JAX 40384": ("In float64 our log_softmax has its gradient at a gap of 37.4.", 1e-14),
        "scipy 18295": ("In float64 our -log_softmax([0, -40]) keeps its digits.", 1e-14),
        "PyTorch 113708": ("In float32 our -log_softmax([1 - ln eps, 0]) keeps its digits.", 25 * EPS),
        "PyTorch 11752": ("Our cross-entropy of two equal logits is ln 2, at 1 as at 1e8.", 2 * EPS),
        "MLX 4188": ("Our cross-entropy of (2, -1) is the same with 1e6 added to both.", 11 * EPS),
    }
    for name, (statement, tolerance) in statements.items():
        case = cases[name]
        made.append(
            Claim(
                name, statement, "=", case["right"], f"{name.replace(' ', ' #')}, reported as a bug there",
                case["ours"], f"the tolerance is {tolerance:.0e} of it: rounding; the usual formula gives "
                f"{case['usual']:.3g} here", tolerance=tolerance * case["right"], exact=True,
            )
        )  # fmt: skip
    return tuple(made)


def picture(data: dict[str, Any]) -> Figure:
    """The label's gradient over the gap: usual, ours, and the truth; zeros along the bottom."""
    figure, axes = plt.subplots(figsize=(7.0, 4.4), layout="constrained")
    gaps, bottom = np.array(data["gaps"], float), 1e-42
    axes.plot(gaps, data["truth"], color="black", lw=3, alpha=0.3, label="truth")
    ours = np.array(data["ours"], float)
    axes.plot(gaps[::6], np.where(ours > 0, ours, np.nan)[::6], "o", ms=4, color="tab:blue", label="ours")
    colors = ("tab:orange", "tab:red", "tab:green", "tab:purple")
    for i, ((name, curve), color) in enumerate(zip(data["usual"].items(), colors, strict=True)):
        values, zero = np.array(curve, float), data["zeros"][name][str(data["classes"])]
        axes.plot(gaps, np.where(values > 0, values, np.nan), color=color, lw=1.2)
        level = bottom * 10 ** (0.8 * (1.5 - i))  # all are 0: side by side
        axes.plot([zero, gaps[-1]], [level, level], "-", color=color, lw=1.5, label=f"{name}: 0 from {zero:.2f} on")
        axes.plot(zero, level, "x", ms=6, color=color)
    axes.axhline(float(np.finfo(np.float32).tiny), color="gray", ls=":", lw=1)
    axes.annotate("smallest normal float32", (1, 1e-38), va="bottom", fontsize=8, color="gray")
    axes.set(yscale="log", ylim=(1e-45, 10), xlabel="gap of the label's logit to the nine others")
    axes.set_ylabel("size of the gradient in that logit")
    axes.set_yticks([1, 1e-10, 1e-20, 1e-30, bottom], ["1", "10⁻¹⁰", "10⁻²⁰", "10⁻³⁰", "0"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8.5, loc="upper right")
    return figure
