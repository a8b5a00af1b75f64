"""Softmax in 50 digits, to hold floating point against."""

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np

DIGITS = 50


def softmax(logits: Sequence[float] | np.ndarray) -> list[Any]:
    """Return p_j = exp(z_j) / sum_k exp(z_k) of one row of floats, as mpmath numbers."""
    with mpmath.workdps(DIGITS):
        e = [mpmath.exp(mpmath.mpf(float(z))) for z in logits]
        total = mpmath.fsum(e)
        return [e_j / total for e_j in e]


def relative_errors(p: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return |p_j / softmax(z)_j - 1| of every entry of some rows (N, C)."""
    with mpmath.workdps(DIGITS):
        pairs = zip(p, logits, strict=True)
        return np.array(
            [
                [float(abs(p_j / q_j - 1)) for p_j, q_j in zip(map(float, row), softmax(z), strict=True)]
                for row, z in pairs
            ]
        )


def gradient(logits: Sequence[float] | np.ndarray, label: int) -> np.ndarray:
    """Return p - y, subtracted in 50 digits and then rounded."""
    with mpmath.workdps(DIGITS):
        return np.array([float(p_j - (j == label)) for j, p_j in enumerate(softmax(logits))])


def hessian(logits: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return diag(p) - p p^T, in 50 digits and then rounded."""
    with mpmath.workdps(DIGITS):
        p = softmax(logits)
        return np.array([[float(p_i * ((i == j) - p_j)) for j, p_j in enumerate(p)] for i, p_i in enumerate(p)])
