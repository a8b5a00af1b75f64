"""Digits, and networks trained on them: what the measurements of this question share."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import mlp_jax
from mlp_jax import Params, datasets

SIZES = (64, 64, 64, 64, 10)
TRAINED_ON = 1248  # of the 1,797 digits, 39 whole batches of 32; the other 549 are held out

Examples = tuple[jax.Array, jax.Array]

keys_of = partial(jax.jit, static_argnums=1)(jax.random.split)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return all 1,797 digits and their labels."""
    dataset = datasets.load_digits()
    x, labels = map(np.concatenate, zip(dataset.train, dataset.validation, dataset.test, strict=True))
    return x, labels


def split(key: jax.Array, x: jax.Array, labels: jax.Array, first: int = TRAINED_ON) -> tuple[Examples, Examples]:
    """Return `first` examples drawn at random, and the rest."""
    order = jax.random.permutation(key, len(x))
    return (x[order[:first]], labels[order[:first]]), (x[order[first:]], labels[order[first:]])


def trained(
    key: jax.Array, params: Params, data: Examples, epochs: int, record: Callable[..., Any] | None = None
) -> mlp_jax.TrainResult:
    """Train a network with the library's defaults: ReLU, Adam at 1e-3, batches of 32."""
    return mlp_jax.train(key, params, data, epochs=epochs, record=record)


def latents(params: Params, x: jax.Array) -> tuple[jax.Array, ...]:
    """Return the input and every hidden layer's latent vectors, h_0 ... h_{L-1}."""
    return mlp_jax.forward_with_trace(params, x)[1].h


def error(params: Params, examples: Examples) -> jax.Array:
    """Return the share of examples that a network gets wrong."""
    x, labels = examples
    return jnp.mean(mlp_jax.predict(mlp_jax.forward(params, x)) != labels)
