"""Where trainings start, and what drives them."""

from collections.abc import Sequence

import jax
import optax
from jax.flatten_util import ravel_pytree

import mlp_jax
from mlp_jax import Layer, Params


def random_start(key: jax.Array, sizes: Sequence[int]) -> Params:
    """He's weights, and biases from U(+-1 / sqrt(fan_in)): with biases of 0 all kinks would start at the input 0."""
    of_weights, of_biases = jax.random.split(key)
    params = mlp_jax.init_params(of_weights, sizes)
    biases, unravel = ravel_pytree([layer.bias for layer in params])
    drawn = unravel(jax.random.uniform(of_biases, biases.shape, minval=-1, maxval=1))
    return tuple(Layer(weight, bias / len(weight) ** 0.5) for (weight, _), bias in zip(params, drawn, strict=True))


def near(key: jax.Array, params: Params, distance: float) -> Params:
    """Every number times 1 + distance e, e standard normal."""
    theta, unravel = ravel_pytree(params)
    return unravel(theta * (1 + distance * jax.random.normal(key, theta.shape)))


def adam_to_zero(steps: int, learning_rate: jax.Array) -> optax.GradientTransformation:
    """Adam whose rate falls to 0 along a cosine."""
    return optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
