"""Where trainings start, and what drives them."""

from functools import partial
from itertools import pairwise
from typing import Any

import jax
import numpy as np
import optax

import mlp_jax
from mlp_jax import Layer, Params


def random_starts(rng: np.random.Generator, count: int, sizes: tuple[int, ...]) -> Params:
    """Return starts on a leading axis: He's weights, and biases from U(+-1 / sqrt(fan_in)).

    With biases of 0 all kinks would start at x = 0.
    """
    return tuple(
        _layer(rng.standard_normal((count, a, b)) * (2 / a) ** 0.5, rng.uniform(-1, 1, (count, b)) / a**0.5)
        for a, b in pairwise(sizes)
    )


def near(rng: np.random.Generator, count: int, params: Params, distance: float) -> Params:
    """Return starts on a leading axis: every number times 1 + distance e, e standard normal."""
    return jax.tree.map(lambda a: np.float32(a * (1 + distance * rng.standard_normal((count, *np.shape(a))))), params)


def _layer(weight: Any, bias: Any) -> Layer:
    return Layer(np.float32(weight), np.float32(bias))  # type: ignore[arg-type]  # NumPy compiles nothing


def adam_to_zero(steps: int, learning_rate: jax.Array) -> optax.GradientTransformation:
    """Return Adam whose rate falls to 0 along a cosine."""
    return optax.adam(optax.cosine_decay_schedule(learning_rate, steps))


def fitted(params: Params, x: jax.Array, targets: jax.Array, rate: jax.Array, steps: int) -> Params:
    """Return the parameters after Adam on the mean squared error, in full batches of x on [0, 1]."""
    return mlp_jax.train(
        jax.random.key(0),  # full batches: nothing is random
        params,
        (2 * x - 1, targets),
        optimizer=partial(adam_to_zero, steps),
        epochs=steps,
        batch_size=len(x),
        loss=mlp_jax.squared_error,
        hyperparameters={"learning_rate": rate},
    ).params


def function(params: Params, x: jax.Array) -> jax.Array:
    """Return the network's function of x on [0, 1]; it is given 2 x - 1."""
    return mlp_jax.forward(params, 2 * x - 1)
