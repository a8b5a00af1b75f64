"""Where trainings start, and what drives them."""

from itertools import pairwise
from typing import Any

import jax
import numpy as np
import optax

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

    def perturbed(a: Any) -> np.ndarray:
        return a * (1 + distance * rng.standard_normal((count, *np.shape(a))))

    return tuple(_layer(perturbed(weight), perturbed(bias)) for weight, bias in params)


def _layer(weight: Any, bias: Any) -> Layer:
    return Layer(np.float32(weight), np.float32(bias))  # type: ignore[arg-type]  # NumPy compiles nothing


def adam_to_zero(steps: int, learning_rate: jax.Array) -> optax.GradientTransformation:
    """Return Adam whose rate falls to 0 along a cosine."""
    return optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
