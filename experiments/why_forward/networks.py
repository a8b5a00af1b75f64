"""Networks to start from, and the digits that they learn and are tested on.

Networks are drawn with numpy: the random numbers of JAX take longer to compile than all that is run.
"""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from experiments.tasks import generator
from mlp_jax import Activation, Layer, Params, forward
from mlp_jax.datasets import Dataset


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


def shared_by_runs(dataset: Dataset, examples: int | None = None) -> tuple[Any, ...]:
    """Return x and labels of the first training examples, and of validation and test data one after the other."""
    x, labels = (np.asarray(a)[:examples] for a in dataset.train)
    return x, labels, *(np.concatenate(pair) for pair in zip(dataset.validation, dataset.test, strict=True))


def is_right(params: Params, activation: Activation, x: Any, labels: Any) -> Bool[Array, " N"]:
    """Return of which examples a network gets the class right."""
    return jnp.argmax(forward(params, x, activation), axis=-1) == labels


def errors(right: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors on validation and test data, of what `is_right` says of both (..., N)."""
    validation, test = np.split(right, [len(dataset.validation.labels)], axis=-1)
    return 1 - validation.mean(axis=-1), 1 - test.mean(axis=-1)
