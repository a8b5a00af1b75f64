"""The truth, by mpmath at 60 digits, and how far an implementation is from it.

A truth is kept as floats hi + lo, about 32 digits, so that numpy measures all errors of an array at once.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from mpmath import mp

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


# phi, phi' and phi'' of every activation, in forms that lose nothing where units saturate


def _s(z):
    return 1 / (1 + mp.exp(-z))


def _ds(z):
    return mp.sech(z / 2) ** 2 / 4


def _dds(z):
    return -_ds(z) * mp.tanh(z / 2)


def _Phi(z):
    return mp.erfc(min(-z / mp.sqrt(2), mp.mpf(10**6))) / 2  # mpmath overflows at 1e200


def _phi0(z):
    return mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)


def gelu_u(z):
    """u, u' and u'' for which gelu_tanh is z (1 + tanh u) / 2."""
    a, b = mp.sqrt(2 / mp.pi), mp.mpf("0.044715")
    return a * (z + b * z**3), a * (1 + 3 * b * z**2), a * 6 * b * z


def _gelu_tanh_derivative(z):
    u, du, _ = gelu_u(z)
    return _s(2 * u) + 2 * z * du * _ds(2 * u)


def _gelu_tanh_second_derivative(z):
    u, du, ddu = gelu_u(z)
    return (4 * du + 2 * z * ddu) * _ds(2 * u) + 4 * z * du**2 * _dds(2 * u)


def _zero(z):
    return mp.mpf(0)


ACTIVATIONS = {
    "identity": (lambda z: z, lambda z: mp.mpf(1), _zero),
    "sigmoid": (_s, _ds, _dds),
    "tanh": (mp.tanh, lambda z: mp.sech(z) ** 2, lambda z: -2 * mp.tanh(z) * mp.sech(z) ** 2),
    "relu": (lambda z: max(z, mp.mpf(0)), lambda z: mp.mpf(z > 0), _zero),
    "leaky_relu": (
        lambda z: z if z > 0 else z * mp.mpf("0.01"),
        lambda z: mp.mpf(1) if z > 0 else mp.mpf("0.01"),
        _zero,
    ),
    "softplus": (lambda z: mp.log1p(mp.exp(z)) if z < 0 else z + mp.log1p(mp.exp(-z)), _s, _ds),
    "silu": (lambda z: z * _s(z), lambda z: _s(z) + z * _ds(z), lambda z: 2 * _ds(z) + z * _dds(z)),
    "gelu": (lambda z: z * _Phi(z), lambda z: _Phi(z) + z * _phi0(z), lambda z: _phi0(z) * (2 - z * z)),
    "gelu_tanh": (lambda z: z * _s(2 * gelu_u(z)[0]), _gelu_tanh_derivative, _gelu_tanh_second_derivative),
    "sin": (mp.sin, mp.cos, lambda z: -mp.sin(z)),
}

_NEAR_ROOTS = {
    ("silu", 1): (-1.28,),
    ("silu", 2): (-2.4, 2.4),
    ("gelu", 1): (-0.75,),
    ("gelu", 2): (-1.41, 1.41),
    ("gelu_tanh", 1): (-0.75,),
    ("gelu_tanh", 2): (-1.41, 1.41),
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
            top = int(np.argmax(row))
            r = [mp.mpf(float(z)) - mp.mpf(float(row[top])) for z in row]
            e = [mp.exp(r_j) for r_j in r]
            S = mp.fsum(e_j for j, e_j in enumerate(e) if j != top)
            p = [e_j / (1 + S) for e_j in e]
            log_sum = mp.log1p(S)
            log_p = [r_j - log_sum for r_j in r]
            delta = list(p)
            delta[y] = -S / (1 + S) if y == top else p[y] - 1
            for column, entries in zip(columns, (p, log_p, [-log_p[y]], delta), strict=True):
                column.extend(entries)
        batch = (len(labels),)
        shapes = (logits.shape, logits.shape, batch, logits.shape)
        return ClassifierTruths(*(as_truth(column, shape) for column, shape in zip(columns, shapes, strict=True)))
