"""Softmax makes probabilities of any logits: positive, of sum 1, in the logits' order, and right to rounding.

Rows of 10 normal logits at scales from 0.1 to 1000; in every row one logit is the next float after another. A shift is
tested on logits that are multiples of 1/64, so that adding a power of two below 2^17 is exact in float32. References:
float64 for float32, mpmath for float64.

How far rounding can go, with u the unit roundoff and r_j = max z - z_j, to first order: z_j - max z is rounded, which
changes exp by a factor 1 + r_j u; exp itself is taken to be right within one unit in the last place, 2 u; the terms of
the sum carry the same, on average over p, where sum p_k r_k <= ln C; adding them costs (C - 1) u, and dividing 2 u, for
compilers multiply by 1 / sum. In all (r_j + ln C + C + 5) u: it grows with the range of the logits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments.intervals import median_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.why_softmax import exact

FORMULA = r"p_j = \frac{e^{z_j - \max z}}{\sum_k e^{z_k - \max z}}"
CAPTION = "The rounding error of softmax grows with the gap below the largest logit, and stays below its bound."

SMALLEST_LOG = math.log(np.finfo(np.float32).tiny)  # -87.3; what is smaller has fewer digits, or is 0
SHIFTS = (1.0, -1024.0, 65536.0)
OCTAVES = range(1, 7)  # gaps from 2^k to 2^(k+1), as far as float32 goes


@dataclass(frozen=True)
class Config:
    """The scale of the logits is varied, the number of classes is held fixed."""

    scales: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)
    classes: int = 10
    batches: int = 10
    rows: int = 100_000  # of a batch, all scales together
    exact_rows: int = 200  # held against mpmath


FULL = Config()
QUICK = Config(batches=5, rows=20_000, exact_rows=50)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Count what softmax breaks in every batch, and hold its numbers against more digits."""
    C = config.classes
    counts: dict[str, int] = {"shift": 0, "order": 0, "finite": 0}
    off, gaps, shares, worst = 0.0, [smallest_zero_gap(tied_rows(C))], [], []
    for i in range(config.batches):
        progress(i / config.batches)
        z = np.asarray(draw(jax.random.fold_in(key, i), config.rows, C, config.scales))
        p = np.asarray(mlp_jax.softmax(z))
        counts["shift"] += int(changed_by_shift(z))
        counts["order"] += int(out_of_order(z, p))
        counts["finite"] += sum(int(np.sum(~np.isfinite(q))) for q in (p, mlp_jax.softmax(huge(z))))
        off = max(off, float(np.max(np.abs(np.sum(np.asarray(p, float), axis=1) - 1))))
        gaps.append(smallest_zero_gap(z))
        gap, error = float32_errors(z, p)
        shares.append(np.max(error / bound(gap, C)))
        worst.append(worst_of(gap, error))
    shares.append(float64_share(key, config))
    by_gap = np.array(worst)
    slope, slope_interval = median_and_interval([slope_over_octaves(row) for row in by_gap])

    rows = config.batches * config.rows
    what = f"{rows:,} rows of {C} logits, scales {config.scales[0]:g} to {config.scales[-1]:g}, float32"
    claims = (
        Claim(
            "positive",
            "Every probability is positive unless its logit is far below the largest.",
            ">=",
            -SMALLEST_LOG - math.log(C),
            "derived: exp(-gap) / sum >= the smallest normal float32, 2^-126, and sum <= C",
            min(gaps),
            f"the smallest gap below the largest logit whose probability is 0; {what}; and rows of ties",
            exact=True,
        ),
        Claim(
            "sum",
            "The probabilities of a row sum to 1.",
            "<=",
            (C + 1) * 2.0**-24,
            "derived: C - 1 roundings of the sum and two of the division, 2^-24 each",
            off,
            f"the largest |sum - 1|, summed in float64; {what}",
            exact=True,
        ),
        Claim(
            "shift",
            "A constant added to all logits of a row changes no probability, not even its last bit, where the sums are "
            "exact.",
            "<=",
            0,
            "derived: exp(z + c) / sum exp(z + c) = exp(z) / sum exp(z), and z - max z is the same float",
            counts["shift"],
            f"entries that change; logits are multiples of 1/64 and shifts {SHIFTS}, so that sums are exact; {what}",
            exact=True,
        ),
        Claim(
            "order",
            "A larger logit never gets a smaller probability.",
            "<=",
            0,
            "derived: exp is monotone, and so is rounding",
            counts["order"],
            f"pairs in the wrong order, neighbouring floats among them; {what}",
            exact=True,
        ),
        *overflow_claims(C),
        Claim(
            "finite",
            "With the largest logit subtracted nothing overflows, up to logits of 3e38.",
            "<=",
            0,
            "derived: exp of what is 0 or below is at most 1",
            counts["finite"],
            f"entries that are not finite; {what}, and the same times 1e38, cut off at the largest float",
            exact=True,
        ),
        Claim(
            "rounding",
            "The relative error of a probability stays below its first-order bound.",
            "<=",
            1,
            "derived, above, in the manner of Blanchard, Higham & Higham (2021)",
            float(np.max(shares)),
            f"error / ((r + ln C + C + 5) u), the worst entry not below 2^-126; {what}; and "
            f"{config.exact_rows} rows in float64",
            exact=True,
        ),
        Claim(
            "slope",
            "Rounding errors grow linearly with the range of the logits.",
            "=",
            1,
            "derived: z - max z between 2^k and 2^(k+1) is rounded by up to 2^k u",
            slope,
            "worst error in u of each octave of r from 2 on, against 2^k: slope, median over batches; the worst of few "
            "rows is a little below the worst there is",
            slope_interval,
            config.batches,
            0.1,
        ),
    )
    data = {"classes": C, "gap": GAP_BINS[1:], "worst": by_gap.max(axis=0)}
    return Finding(claims, data)


@partial(jax.jit, static_argnums=(1, 2, 3))
def draw(key: jax.Array, rows: int, classes: int, scales: tuple[float, ...]) -> jax.Array:
    """Normal logits (rows, classes), a share of the rows at each scale; logit 1 is the next float after logit 0."""
    scale = jnp.asarray(scales)[jnp.arange(rows) % len(scales)]
    z = scale[:, None] * jax.random.normal(key, (rows, classes))
    return z.at[:, 1].set(jnp.nextafter(z[:, 0], jnp.inf))


def huge(z: np.ndarray) -> np.ndarray:
    """The same logits up to the largest float."""
    largest = np.finfo(np.float32).max
    return np.clip(z.astype(float) * 1e38, -largest, largest).astype(np.float32)


def tied_rows(classes: int) -> np.ndarray:
    """Rows in which all logits but one are the largest, and the last 80 to 90 below: the smallest p for its gap."""
    z = np.zeros((10_001, classes), np.float32)
    z[:, -1] = -np.linspace(80, 90, len(z))
    return z


def smallest_zero_gap(z: np.ndarray) -> float:
    """The smallest max z - z_j whose probability is 0."""
    p = np.asarray(mlp_jax.softmax(z))
    return float(np.min(np.max(z, axis=1, keepdims=True) - z, where=p == 0, initial=np.inf))


@jax.jit
def changed_by_shift(z: jax.Array) -> jax.Array:
    """How many probabilities change, over all shifts."""
    z = jnp.round(z * 64) / 64
    p = mlp_jax.softmax(z)
    return jnp.sum(jnp.array([jnp.sum(mlp_jax.softmax(z + shift) != p) for shift in SHIFTS]))


@jax.jit
def out_of_order(z: jax.Array, p: jax.Array) -> jax.Array:
    """How many pairs have z_i > z_j and p_i < p_j."""
    return jnp.sum((z[:, :, None] > z[:, None, :]) & (p[:, :, None] < p[:, None, :]))


@jax.jit
def naive(z: jax.Array) -> jax.Array:
    """The formula as it is written, without a shift."""
    e = jnp.exp(z)
    return e / jnp.sum(e, axis=-1, keepdims=True)


def largest_finite(f: Callable[[Any], Any], classes: int, dtype: str) -> float:
    """The largest z for which f of (z, 0, ..., 0) is finite, by bisection."""
    low, high = 0.0, 2000.0
    for _ in range(60):
        middle = (low + high) / 2
        finite = np.isfinite(f(np.array([middle, *(classes - 1) * [0.0]], dtype))).all()
        low, high = (middle, high) if finite else (low, middle)
    return low


def overflow_claims(classes: int) -> list[Claim]:
    """The formula as it is written fails where exp overflows."""
    claims = []
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            limit = largest_finite(naive, classes, dtype)
        claims.append(
            Claim(
                f"overflow {dtype}",
                f"Without the shift softmax overflows, in {dtype} as soon as one logit exceeds this.",
                "=",
                math.log(np.finfo(dtype).max),
                f"derived: the logarithm of the largest {dtype}",
                limit,
                "by bisection, the other logits 0; 1e-4 for the rounding of exp and of the logit",
                tolerance=1e-4,
                exact=True,
            )
        )
    return claims


def bound(gap: np.ndarray, classes: int) -> np.ndarray:
    """The first-order bound of the relative error, in units of u."""
    return np.asarray(gap + math.log(classes) + classes + 5)


def float32_errors(z: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gap r_j and the relative error in units of u = 2^-24, of every entry that is no smaller than 2^-126."""
    z = z.astype(float)
    gap = np.max(z, axis=1, keepdims=True) - z
    log_p = -gap - np.log(np.sum(np.exp(-gap), axis=1, keepdims=True))
    normal = log_p >= SMALLEST_LOG
    gap, log_p = gap[normal], log_p[normal]
    return gap, np.abs(p[normal] / np.exp(log_p) - 1) * 2.0**24


def float64_share(key: jax.Array, config: Config) -> float:
    """The worst error over its bound in float64, against mpmath, for logits that range up to 700."""
    with jax.enable_x64(True):
        scale = jnp.linspace(1, 100, config.exact_rows)
        z = np.asarray(scale[:, None] * jax.random.normal(key, (config.exact_rows, config.classes)))
        p = np.asarray(mlp_jax.softmax(z))
    gap = np.max(z, axis=1, keepdims=True) - z
    return float(np.max(exact.relative_errors(p, z) * 2.0**53 / bound(gap, config.classes)))


GAP_BINS = np.linspace(0, 88, 89)


def worst_of(gap: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The worst error for every bin of the gap, 1 wide."""
    worst = np.zeros(len(GAP_BINS) - 1)
    np.maximum.at(worst, np.minimum(gap.astype(int), len(worst) - 1), error)
    return worst


def slope_over_octaves(worst: np.ndarray) -> float:
    """The slope of the worst error in an octave of the gap, 2^k to 2^(k+1), against 2^k."""
    steps = [2**k for k in OCTAVES]
    return float(np.polyfit(steps, [worst[step : 2 * step].max() for step in steps], 1)[0])


def picture(data: dict[str, Any]) -> Figure:
    """The worst error over the gap, and its bound."""
    figure, axes = plt.subplots(figsize=(6.5, 4.0), layout="constrained")
    gap, worst = np.array(data["gap"]), np.array(data["worst"])
    axes.plot(gap, bound(gap, data["classes"]), color="black", ls="--", label="bound  r + ln C + C + 5")
    axes.stairs(worst, np.append(gap - 1, gap[-1]), color="tab:blue", lw=1.5, label="worst entry measured")
    axes.stairs(
        [2**k for k in OCTAVES],
        [2**k for k in (*OCTAVES, 7)],
        color="tab:orange",
        ls=":",
        lw=1.5,
        label="rounding of z − max z alone, $2^k$",
    )
    axes.set(
        xlabel="gap below the largest logit, r",
        ylabel="relative error, in units of u = $2^{-24}$",
        xlim=(0, 88),
        ylim=(0, None),
    )
    axes.set_title("Rounding error of softmax in float32")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="upper left")
    return figure
