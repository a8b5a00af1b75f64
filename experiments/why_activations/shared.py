"""What the measurements of this question share: where networks start, and the names and colours of activations."""

from itertools import pairwise
from typing import Any

import numpy as np

from mlp_jax import Layer, Params

LABELS = {"identity": "no activation", "sigmoid": "sigmoid", "tanh": "tanh", "relu": "ReLU", "gelu": "GELU"}
COLORS = {"identity": "#000000", "sigmoid": "#0072b2", "tanh": "#009e73", "relu": "#d55e00", "gelu": "#cc79a7"}


def starts(rng: np.random.Generator, runs: int, sizes: tuple[int, ...], activation: str) -> Params:
    """Draw the networks that runs start from, on a leading axis: normal weights, and biases of 0.

    The weights have the variance of the library's own initialiser, but NumPy draws them: the random numbers of JAX take
    longer to compile than a quick run computes.
    """
    normal: Any = rng.standard_normal
    return tuple(
        Layer(np.sqrt(variance(activation, a, b)) * normal((runs, a, b)), 0 * normal((runs, b)))
        for a, b in pairwise(sizes)
    )


def variance(activation: str, fan_in: int, fan_out: int) -> float:
    """Return the weights' variance: LeCun's for no activation, Glorot's for sigmoid and tanh, else He's."""
    if activation == "identity":
        return 1 / fan_in
    return 2 / (fan_in + fan_out) if activation in ("sigmoid", "tanh") else 2 / fan_in


def furthest(values: np.ndarray, expected: float) -> float:
    """Return the value that is furthest from the expected one."""
    return float(values[np.argmax(np.abs(values - expected))])
