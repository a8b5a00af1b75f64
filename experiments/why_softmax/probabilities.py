"""Softmax makes probabilities of any logits: positive, of sum 1, in the logits' order, and right to rounding.

Rows of 10 normal logits at scales from 0.1 to 1000; in every row one logit is the next float after another. A shift is
tested on logits that are multiples of 1/64, so that adding a power of two below 2^17 is exact in float32. Tied rows
hold the smallest probabilities for their gaps. References: float64 for float32, mpmath for float64.

How far rounding can go, with u the unit roundoff and r_j = max z - z_j, to first order: z_j - max z is rounded, which
changes exp by a factor 1 + r_j u; exp itself is taken to be right within one unit in the last place, 2 u; the terms of
the sum carry the same, on average over p, where sum p_k r_k <= ln C; adding them costs (C - 1) u, and dividing 2 u, for
compilers multiply by 1 / sum. In all (r_j + ln C + C + 5) u: it grows with the range of the logits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame import statistics
from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, largest, smallest
from experiments.tasks import generator
from experiments.why_softmax import exact

FORMULA = r"p_j = \frac{e^{z_j - \max z}}{\sum_k e^{z_k - \max z}}"

SMALLEST_LOG = math.log(np.finfo(np.float32).tiny)  # -87.3; what is smaller has fewer digits, or is 0
SHIFTS = (1.0, -1024.0, 65536.0)
OCTAVES = range(1, 7)  # gaps from 2^k to 2^(k+1), as far as float32 goes
GAPS = 88  # bins of the gap, 1 wide


@dataclass(frozen=True)
class Config:
    """The scale of the logits is varied, the number of classes is held fixed."""

    scales: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)
    classes: int = 10
    batches: int = 10
    rows: int = 100_000  # of a batch, all scales together
    exact_rows: int = 200  # held against mpmath


FULL = Config()
QUICK = Config(batches=2, rows=20_000, exact_rows=20)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Count what softmax breaks in every batch, and compare its numbers with more digits.

    Returns:
      What `checked` returns, by batch; "share, float64" (rows,), the worst error of each row over its bound; "limit" of
      each "dtype", the largest logit for which the formula without a shift is finite.
    """
    rng, found = generator(key), []
    for i in range(config.batches):
        progress(i / config.batches)
        found.append(checked(drawn(rng, config)))
    dtypes = ("float32", "float64")
    return {
        **{name: np.array([batch[name] for batch in found]) for name in found[0]},
        "share, float64": float64_shares(rng, config),
        "dtype": np.array(dtypes),
        "limit": np.array([largest_finite(naive, config.classes, dtype) for dtype in dtypes]),
    }


def checked(z: np.ndarray) -> dict[str, Any]:
    """Return what softmax breaks in a batch of logits (rows, C), and its errors.

    Returns:
      "off", the largest |sum - 1|; the number of probabilities "changed" by a shift, of neighbours "out of order" and
      of entries "not finite"; "zero gap", the smallest gap whose probability is 0; "share", the worst error over its
      bound; "worst", the worst error in units of u in every bin of the gap.
    """
    multiples = np.round(z * 64) / 64
    shifted = [multiples + np.float32(shift) for shift in SHIFTS]
    logits = np.stack([z, tied_rows(*z.shape), huge(z), multiples, *shifted])
    p = np.asarray(mlp_jax.softmax(logits))  # one program for all of them
    gap, error = float32_errors(z, p[0])
    return {
        "off": np.max(np.abs(np.sum(p[0], axis=1, dtype=float) - 1)),
        "changed": np.sum(p[4:] != p[3]),
        "out of order": np.sum(np.diff(np.take_along_axis(p[0], np.argsort(z), axis=1)) < 0),
        "not finite": np.sum(~np.isfinite(p[:3])),
        "zero gap": smallest_zero_gap(logits[:2], p[:2]),
        "share": np.max(error / bound(gap, z.shape[1])),
        "worst": worst_of(gap, error),
    }


ROWS = (
    "{n.config.batches} batches of {n.config.rows:,} rows of {n.config.classes} logits, scales {n.config.scales}, "
    "float32"
)


@at_least(
    lambda n: -SMALLEST_LOG - math.log(n.config.classes),
    "Every probability is positive unless its logit is far below the largest.",
    source="derived: exp(-gap) / sum >= the smallest normal float32, 2^-126, and sum <= C",
    how="the smallest gap below the largest logit whose probability is 0; " + ROWS + "; and rows of ties",
    must=True,
)
def positive(n: Numbers) -> Statistic:
    return smallest(n["zero gap"])


@at_most(
    lambda n: (n.config.classes + 1) * 2.0**-24,
    "The probabilities of a row sum to 1.",
    source="derived: C - 1 roundings of the sum and two of the division, 2^-24 each",
    how="the largest |sum - 1|, summed in float64; " + ROWS,
    must=True,
)
def sum(n: Numbers) -> Statistic:
    return largest(n["off"])


@at_most(
    0,
    "A constant added to all logits of a row changes no probability, not even its last bit, if the sums are exact.",
    source="derived: exp(z + c) / sum exp(z + c) = exp(z) / sum exp(z), and z - max z is the same float",
    how=f"entries that change; logits are multiples of 1/64 and shifts {SHIFTS}, so that sums are exact; " + ROWS,
    must=True,
)
def shift(n: Numbers) -> float:
    return n["changed"].sum()


@at_most(
    0,
    "A larger logit never gets a smaller probability.",
    source="derived: exp is monotone, and so is rounding",
    how="neighbours in the order of the logits whose probabilities fall, neighbouring floats among them; " + ROWS,
    must=True,
)
def order(n: Numbers) -> float:
    return n["out of order"].sum()


@equals(
    lambda n, dtype: math.log(np.finfo(dtype).max),
    "Without the shift softmax overflows, in {dtype} as soon as one logit exceeds this.",
    within=1e-4,
    source="derived: the logarithm of the largest {dtype}",
    how="by bisection, in NumPy, the other logits 0; 1e-4 for the rounding of exp and of the logit",
    must=True,
    dtype=("float32", "float64"),
)
def overflow(n: Numbers, dtype: str) -> float:
    return n["limit"][n.at(dtype=dtype)]


@at_most(
    0,
    "With the largest logit subtracted nothing overflows, up to logits of 3e38.",
    source="derived: exp of what is 0 or below is at most 1",
    how="entries that are not finite; " + ROWS + ", and the same times 1e38, cut off at the largest float",
    must=True,
)
def finite(n: Numbers) -> float:
    return n["not finite"].sum()


@at_most(
    1,
    "The relative error of a probability stays below its first-order bound.",
    source="derived, above, in the manner of Blanchard, Higham & Higham (2021)",
    how="error / ((r + ln C + C + 5) u), the worst entry not below 2^-126; " + ROWS + "; and {n.config.exact_rows} "
    "rows in float64",
    must=True,
)
def rounding(n: Numbers) -> Statistic:
    return largest([*n["share"], *n["share, float64"]])


@equals(
    1,
    "Rounding errors grow linearly with the range of the logits.",
    within=0.1,
    source="derived: z - max z between 2^k and 2^(k+1) is rounded by up to 2^k u",
    how="worst error in u of each octave of r from 2 on, against 2^k: slope; the worst of few rows is a little below "
    "the worst there is",
)
def slope(n: Numbers) -> Statistic:
    steps = [2**k for k in OCTAVES]
    worst = [n["worst"][:, step : 2 * step].max(axis=1) for step in steps]
    return statistics.slope(steps, np.transpose(worst))


def picture(n: Numbers) -> Figure:
    """Draw the worst error over the gap, and its bound."""
    figure, axes = panels()
    edges = np.arange(GAPS + 1)
    axes.plot(edges[1:], bound(edges[1:], n.config.classes), color="black", ls="--", label="bound  r + ln C + C + 5")
    axes.stairs(n["worst"].max(axis=0), edges, color="tab:blue", lw=1.5, label="worst entry measured")
    steps, label = [2**k for k in OCTAVES], "rounding of z − max z alone, $2^k$"
    axes.stairs(steps, [*steps, 2 * steps[-1]], color="tab:orange", ls=":", lw=1.5, label=label)
    axes.set(xlabel="gap below the largest logit, r", ylabel="relative error, in units of u = $2^{-24}$")
    axes.set(xlim=(0, GAPS), ylim=(0, None), title="Rounding error of softmax in float32")
    axes.legend(loc="upper left")
    return figure


def drawn(rng: np.random.Generator, config: Config) -> np.ndarray:
    """Return normal logits (rows, C), a share of the rows at each scale; logit 1 is the next float after logit 0."""
    scale = np.resize(np.array(config.scales, np.float32), config.rows)[:, None]
    z = scale * rng.standard_normal((config.rows, config.classes), dtype=np.float32)
    z[:, 1] = np.nextafter(z[:, 0], np.float32(np.inf))
    return z


def tied_rows(rows: int, classes: int) -> np.ndarray:
    """Return rows in which all logits are equal, but the last 80 to 90 below: the smallest p for its gap."""
    z = np.zeros((rows, classes), np.float32)
    z[:, -1] = -np.linspace(80, 90, rows)
    return z


def huge(z: np.ndarray) -> np.ndarray:
    """Return the same logits, up to the largest float."""
    largest_float = np.finfo(np.float32).max
    return np.clip(z.astype(float) * 1e38, -largest_float, largest_float).astype(np.float32)


def smallest_zero_gap(z: np.ndarray, p: np.ndarray) -> float:
    """Return the smallest max z - z_j whose probability is 0."""
    return float(np.min(np.max(z, axis=-1, keepdims=True) - z, where=p == 0, initial=np.inf))


def naive(z: np.ndarray) -> np.ndarray:
    """Return softmax of one row by the formula without a shift."""
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(z)
        return e / np.sum(e)


def largest_finite(f: Callable[[np.ndarray], np.ndarray], classes: int, dtype: str) -> float:
    """Return the largest z for which f of (z, 0, ..., 0) is finite, by bisection."""
    low, high = 0.0, 2000.0
    for _ in range(60):
        middle = (low + high) / 2
        finite = np.isfinite(f(np.array([middle, *(classes - 1) * [0.0]], dtype))).all()
        low, high = (middle, high) if finite else (low, middle)
    return low


def bound(gap: np.ndarray, classes: int) -> np.ndarray:
    """Return the first-order bound of the relative error, in units of u."""
    return np.asarray(gap + math.log(classes) + classes + 5)


def float32_errors(z: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gap r_j and relative error in units of u = 2^-24 of every entry that is no smaller than 2^-126."""
    z = z.astype(float)
    gap = np.max(z, axis=1, keepdims=True) - z
    log_p = -gap - np.log(np.sum(np.exp(-gap), axis=1, keepdims=True))
    normal = log_p >= SMALLEST_LOG
    gap, log_p = gap[normal], log_p[normal]
    return gap, np.abs(p[normal] / np.exp(log_p) - 1) * 2.0**24


def float64_shares(rng: np.random.Generator, config: Config) -> np.ndarray:
    """Return the worst error over its bound in float64, against mpmath, for rows of logits that range up to 700."""
    z = np.linspace(1, 100, config.exact_rows)[:, None] * rng.standard_normal((config.exact_rows, config.classes))
    with jax.enable_x64(True):
        p = np.asarray(mlp_jax.softmax(z))
    gap = np.max(z, axis=1, keepdims=True) - z
    return np.max(exact.relative_errors(p, z) * 2.0**53 / bound(gap, config.classes), axis=1)


def worst_of(gap: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the worst error in every bin of the gap, 1 wide."""
    worst = np.zeros(GAPS)
    np.maximum.at(worst, np.minimum(gap.astype(int), GAPS - 1), error)
    return worst
