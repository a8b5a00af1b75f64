"""The losses that are compared: cross-entropy, and squared error after softmax with its gradient by hand."""

import jax.numpy as jnp
from jax import Array, nn

import mlp_jax


def value(logits: Array, labels: Array) -> Array:
    """Return the mean over the batch of sum_j (p_j - y_j)^2."""
    d = mlp_jax.softmax(logits) - nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    return jnp.mean(jnp.sum(d**2, axis=1))


def logits_gradient(logits: Array, labels: Array) -> Array:
    """Return 2 p_k sum_j p_j (d_k - d_j) / B with d = p - y: back through softmax's diag(p) - p p^T."""
    p = mlp_jax.softmax(logits)
    d = p - nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    differences = d[:, :, None] - d[:, None, :]
    return 2 * p * jnp.sum(p[:, None, :] * differences, axis=2) / len(logits)


softmax_squared_error = mlp_jax.Loss(value, logits_gradient, name="softmax_squared_error")

LOSSES = {"cross-entropy": mlp_jax.cross_entropy, "squared error": softmax_squared_error}
LABELS = {"cross-entropy": "cross-entropy", "squared error": "squared error after softmax"}
COLORS = {"cross-entropy": "tab:blue", "squared error": "tab:orange"}
