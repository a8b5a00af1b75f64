"""Networks to start from, drawn with numpy: the random numbers of JAX take longer to compile than all that is run."""

from itertools import pairwise
from typing import Any

import jax
import numpy as np

from experiments.tasks import generator
from mlp_jax import Activation, Layer, Params


def initial(
    key: jax.Array, sizes: tuple[int, ...], activation: Activation, runs: tuple[int, ...] = (), bias: float = 0.0
) -> Params:
    """Draw networks, one for each of `runs`, with leading axes for them.

    Normal weights with the variance of the activation's own initialiser: He's 2 / fan_in for relu, else Glorot's
    2 / (fan_in + fan_out). Normal biases of the given size. In float64: JAX takes them in its own default.
    """
    normal: Any = generator(key).standard_normal
    return tuple(
        Layer(
            np.sqrt(2 / (a if activation.name == "relu" else a + b)) * normal((*runs, a, b)),
            bias * normal((*runs, b)),
        )
        for a, b in pairwise(sizes)
    )


def keys(key: jax.Array, count: int) -> tuple[jax.Array, ...]:
    """Return independent keys, by one small program."""
    return jax.jit(lambda key: tuple(jax.random.split(key, count)))(key)
