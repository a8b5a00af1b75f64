"""Activations in NumPy, with their derivatives: what `chain` is made of, without a compiler."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Elementwise(NamedTuple):
    """An activation: its name, phi(z) and phi'(z)."""

    name: str
    value: Callable[[np.ndarray], np.ndarray]
    derivative: Callable[[np.ndarray], np.ndarray]


def _s(z: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-z)))


def _ds(z: np.ndarray) -> np.ndarray:
    return _s(z) * _s(-z)


def _dtanh(z: np.ndarray) -> np.ndarray:
    return 4 * _ds(2 * z)


def _leaky(name: str, slope: float) -> Elementwise:
    return Elementwise(name, lambda z: np.where(z > 0, z, slope * z), lambda z: np.where(z > 0, 1.0, slope))


def _normal(z: np.ndarray) -> np.ndarray:
    return np.asarray(np.vectorize(math.erfc, otypes=[float])(-z / math.sqrt(2)) / 2)


_A, _B = math.sqrt(2 / math.pi), 0.044715


def _2u(z: np.ndarray) -> np.ndarray:
    return 2 * _A * (z + _B * z**3)


_LAMBDA, _ALPHA = 1.0507009873554805, 1.6732632423543772


def _gate(z: np.ndarray) -> np.ndarray:
    return np.tanh(np.logaddexp(z, 0))


identity = Elementwise("identity", lambda z: z, np.ones_like)
sigmoid = Elementwise("sigmoid", _s, _ds)
tanh = Elementwise("tanh", np.tanh, _dtanh)
relu = Elementwise("relu", lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0)
ACTIVATIONS = {
    phi.name: phi
    for phi in (
        tanh, relu, sigmoid, identity, _leaky("leaky_relu", 0.01),
        Elementwise("softplus", lambda z: np.logaddexp(z, 0), _s),
        Elementwise("silu", lambda z: z * _s(z), lambda z: _s(z) * (1 + z * _s(-z))),
        Elementwise("gelu", lambda z: z * _normal(z),
                    lambda z: _normal(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)),
        Elementwise("gelu_tanh", lambda z: z * _s(_2u(z)),
                    lambda z: _s(_2u(z)) * (1 + 2 * _A * (z + 3 * _B * z**3) * _s(-_2u(z)))),
        Elementwise("selu", lambda z: _LAMBDA * np.where(z > 0, z, _ALPHA * np.expm1(np.minimum(z, 0))),
                    lambda z: _LAMBDA * np.where(z > 0, 1, _ALPHA * np.exp(np.minimum(z, 0)))),
        Elementwise("mish", lambda z: z * _gate(z), lambda z: _gate(z) + z * _s(z) * (1 - _gate(z) ** 2)),
        Elementwise("sin", np.sin, np.cos),
    )
}  # fmt: skip
OTHERS = (  # that people use, and this library has no record of
    *(_leaky(f"leaky relu with slope {slope:g}", slope) for slope in (0.05, 0.1, 0.2, 0.3)),
    Elementwise("elu", lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), lambda z: np.exp(np.minimum(z, 0))),
)
