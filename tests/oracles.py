"""The truth, by mpmath at 60 digits, and how far an implementation is from it.

A truth is kept as floats hi + lo, about 32 digits, so that numpy measures all errors of an array at once.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from mpmath import mp

from mlp_jax.check import _mpmath_network as mpmath_network
from mlp_jax.check._mpmath_network import ACTIVATIONS

DIGITS = 60
DTYPES = ("float32", "float64")
ULP = {"float32": 2.0**-23, "float64": 2.0**-52}
FLOOR = {"float32": 1e-30, "float64": 1e-290}  # below it a result may underflow


def precision(dtype: str):
    """The context in which JAX computes in `dtype`."""
    return jax.enable_x64(dtype == "float64")


class Truth(NamedTuple):
    """An array of high precision: hi + lo."""

    hi: np.ndarray
    lo: np.ndarray


def as_truth(exact: Sequence, shape: tuple[int, ...] | None = None) -> Truth:
    """Round mpmath numbers to pairs of floats; call it inside `mp.workdps`."""
    exact = [x if mp.mag(x) > -1100 else mp.mpf(0) for x in exact]
    hi = [float(x) for x in exact]
    lo = [float(x - h) for x, h in zip(exact, hi, strict=True)]
    shape = (len(hi),) if shape is None else shape
    return Truth(np.reshape(hi, shape), np.reshape(lo, shape))


def truth_of(function: Callable, z: np.ndarray) -> Truth:
    """`function`, of and by mpmath numbers, at every entry of z."""
    with mp.workdps(DIGITS):
        return as_truth([function(mp.mpf(float(entry))) for entry in z.ravel()], z.shape)


def relative_bound(truth: Truth, dtype: str, factor=8.0) -> np.ndarray:
    """`factor` ulp of the truth where it is above the floor, and the floor itself where it is below."""
    size = np.abs(truth.hi)
    return np.where(size > FLOOR[dtype], factor * ULP[dtype] * size, FLOOR[dtype])


def worst_ratio(actual, truth: Truth, bound) -> float:
    """The largest error in units of its bound; inf if an entry is not finite."""
    actual = np.asarray(actual, np.float64)
    assert actual.shape == truth.hi.shape
    with np.errstate(invalid="ignore"):
        error = np.abs((actual - truth.hi) - truth.lo)
    return float(np.max(np.where(np.isfinite(error), error, np.inf) / bound))


_NEAR_ROOTS = {
    ("silu", 1): (-1.28,),
    ("silu", 2): (-2.4, 2.4),
    ("gelu", 1): (-0.75,),
    ("gelu", 2): (-1.41, 1.41),
    ("gelu_tanh", 1): (-0.75,),
    ("gelu_tanh", 2): (-1.41, 1.41),
    ("mish", 1): (-1.19,),
    ("mish", 2): (-2.26, 1.49),
}


def roots(name: str, order: int) -> np.ndarray:
    """Where the derivative of that order crosses 0 away from z = 0, so that no relative accuracy is due."""
    with mp.workdps(DIGITS):
        near = _NEAR_ROOTS.get((name, order), ())
        return np.array([float(mp.findroot(ACTIVATIONS[name][order], mp.mpf(z))) for z in near])


class ClassifierTruths(NamedTuple):
    """Of logits (B, C) and labels (B,), all from one pass over the exponentials."""

    softmax: Truth  # (B, C)
    log_softmax: Truth  # (B, C)
    loss: Truth  # (B,), -log p_y of each example
    gradient: Truth  # (B, C), d loss / d logits of each example


def classifier_truths(logits: np.ndarray, labels: np.ndarray) -> ClassifierTruths:
    """Softmax, log-softmax, cross-entropy and its gradient, p - one_hot(y), example by example."""
    columns: tuple[list, ...] = ([], [], [], [])
    with mp.workdps(DIGITS):
        for row, y in zip(logits, labels, strict=True):
            exact = [mp.mpf(float(z)) for z in row]
            p, log_p = mpmath_network.softmax(exact)
            loss, delta = mpmath_network.cross_entropy(exact, [mp.mpf(int(j == y)) for j in range(len(row))])
            for column, entries in zip(columns, (p, log_p, [loss], delta), strict=True):
                column.extend(entries)
        batch = (len(labels),)
        shapes = (logits.shape, logits.shape, batch, logits.shape)
        return ClassifierTruths(*(as_truth(column, shape) for column, shape in zip(columns, shapes, strict=True)))
