"""Digits, and networks trained on them: what the measurements of this question share."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import numpy as np

import mlp_jax
from experiments.runs_at_once import over_runs
from mlp_jax import Activation, Params, datasets

SIZES = (64, 64, 64, 64, 10)
EXAMPLES = 1797
TRAINED_ON = 1248  # of them, 39 whole batches of 32; the other 549 are held out

Examples = tuple[Any, Any]  # x and labels; the runs, if there are several, on the leading axis

# What draws runs once: unoptimised and not vmapped it compiles in a tenth of the time.
QUICKLY = {"xla_backend_optimization_level": 0}

keys_of = partial(jax.jit, static_argnums=1)(jax.random.split)


@jax.jit
def parts_of(keys: jax.Array) -> jax.Array:
    """Return three more keys for each key (3, runs)."""
    return jax.vmap(partial(jax.random.split, num=3), out_axes=1)(keys)


@partial(jax.jit, static_argnums=1, compiler_options=QUICKLY)
def orders(keys: jax.Array, examples: int = EXAMPLES) -> jax.Array:
    """Return a random order for each key (runs, examples)."""
    return jax.lax.map(lambda key: jax.random.permutation(key, examples), keys)


@partial(jax.jit, static_argnums=(1, 2), compiler_options=QUICKLY)
def starts(keys: jax.Array, sizes: tuple[int, ...], activation: Activation = mlp_jax.relu) -> Params:
    """Return a random network for each key."""
    return jax.lax.map(lambda key: mlp_jax.init_params(key, sizes, activation), keys)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return all 1,797 digits and their labels."""
    dataset = datasets.load_digits()
    x, labels = map(np.concatenate, zip(dataset.train, dataset.validation, dataset.test, strict=True))
    return x, labels


def split(order: Any, x: Any, labels: Any, first: int = TRAINED_ON) -> tuple[Examples, Examples]:
    """Return the `first` examples of an order, and the rest."""
    return (x[order[..., :first]], labels[order[..., :first]]), (x[order[..., first:]], labels[order[..., first:]])


def trained(key: jax.Array, seeds: int, epochs: int) -> tuple[Examples, Examples, Params]:
    """Train a network per seed with the library's defaults: ReLU, Adam at 1e-3, batches of 32.

    Returns:
      The digits of each seed that its network trains on, those held out, and the parameters before training and after
      each epoch (seeds, 1 + epochs, ...).
    """
    keys = keys_of(key, seeds)
    of_split, of_params, _ = parts_of(keys)
    data, held_out = split(np.asarray(orders(of_split)), *digits())
    params = starts(of_params, SIZES)
    later = over_runs(_training(epochs), (keys, params, data))
    return data, held_out, jax.tree.map(lambda a, b: np.concatenate([np.asarray(a)[:, None], b], axis=1), params, later)


@cache  # so that measurements that train alike share a program
def _training(epochs: int) -> Callable[..., Params]:
    def run(key: jax.Array, params: Params, data: Examples) -> Params:
        return mlp_jax.train(key, params, data, epochs=epochs, record=lambda params, *_: params).recorded

    return run


def latents(params: Params, x: np.ndarray) -> list[np.ndarray]:
    """Return the input and every hidden layer's latent vectors, h_0 ... h_{L-1}, also of many networks (..., N, d)."""
    h = [x]
    for weight, bias in params[:-1]:
        h.append(np.maximum(h[-1] @ weight + bias[..., None, :], 0))
    return h
