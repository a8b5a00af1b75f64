"""Random networks with data for them, and the error measure that all gradient checks share."""

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mlp_jax


def quick(cases, *names):
    """Parameters of a test, of which the plain command runs those named and leaves the rest to the slow tests."""
    return [
        pytest.param(
            *value if type(value) is tuple else (value,), id=name, marks=[pytest.mark.slow] * (name not in names)
        )
        for name, value in cases.items()
    ]


# For programs that run once on a few numbers: compiling them is all of the time.
QUICK_COMPILATION = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


class Problem(NamedTuple):
    params: mlp_jax.Params
    x: jax.Array
    targets: jax.Array
    activation: mlp_jax.Activation
    loss: mlp_jax.Loss

    def loss_at(self, params):
        return self.loss(mlp_jax.forward(params, self.x, self.activation), self.targets)


def problem(sizes, batch, activation=mlp_jax.tanh, loss=mlp_jax.cross_entropy, dtype=jnp.float64, seed=0):
    """Weights about as large as the activation's own, biases of about 0.5: a zero bias hides a missing derivative.

    Drawn by numpy, which compiles nothing.
    """
    rng = np.random.default_rng(seed)
    gain = 2 if activation.weight_init is mlp_jax.relu.weight_init else 1

    def normal(scale, *shape):
        return jnp.asarray(scale * rng.standard_normal(shape), dtype)

    params = tuple(
        mlp_jax.Layer(normal((gain / fan_in) ** 0.5, fan_in, fan_out), normal(0.5, fan_out))
        for fan_in, fan_out in pairwise(sizes)
    )
    x = normal(1, batch, sizes[0])
    if loss is mlp_jax.squared_error:
        targets = normal(1, batch, sizes[-1])
    else:
        targets = jnp.asarray(rng.integers(0, sizes[-1], batch), jnp.int32)
    return Problem(params, x, targets, activation, loss)


def direction(tree, seed=1):
    """Normal numbers of the shapes and dtypes of a tree's leaves."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), leaf.dtype), tree)


def relative_error(actual, expected):
    """The relative L2 error of two arrays, or of two pytrees taken as one vector."""
    actual, expected = (
        np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(tree)])
        for tree in (actual, expected)
    )
    norm = np.linalg.norm(expected)
    return np.linalg.norm(actual - expected) / norm if norm else np.linalg.norm(actual)


def leaf_errors(actual, expected):
    return [relative_error(a, b) for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True)]
