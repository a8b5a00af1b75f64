"""Normalisers: ways to make probabilities of logits, each with the loss that trains it, derived by hand.

A positive score s gives p_j = s(z_j) / sum_k s(z_k), which is the softmax of log s(z). So its loss -log p_y is the
cross-entropy of log s(z), and by the chain rule the loss's derivative in the logits is

    d loss / d z_j = (log s)'(z_j) (p_j - y_j),

which is p - y where (log s)' = 1 everywhere: for s = exp, up to a factor, and for nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

import mlp_jax
from mlp_jax import Loss

FLOOR = 1e-6  # added to z^2: without it a score could be 0, and its log infinite

Elementwise = Callable[[Array], Array]


@dataclass(frozen=True)
class Normaliser:
    """A record of a normaliser.

    Attributes:
      name: for reports.
      probabilities: p (..., C) of logits z (..., C).
      loss: of logits (B, C) and labels (B,), the mean over B; its minimum is at p = y.
    """

    name: str
    probabilities: Callable[[Array], Array] = field(repr=False)
    loss: Loss = field(repr=False)


def of_score(name: str, log_score: Elementwise, log_slope: Elementwise) -> Normaliser:
    """Return the normaliser of a positive score s, given log s and (log s)'. Its loss is -log p_y."""

    def value(z: Float[Array, "B C"], labels: Int[Array, " B"]) -> Float[Array, ""]:
        return mlp_jax.cross_entropy.value(log_score(z), labels)

    def logits_gradient(z: Float[Array, "B C"], labels: Int[Array, " B"]) -> Float[Array, "B C"]:
        return log_slope(z) * mlp_jax.cross_entropy.logits_gradient(log_score(z), labels)

    return Normaliser(name, lambda z: mlp_jax.softmax(log_score(z)), Loss(value, logits_gradient, name))


_FAR = -30.0  # from here on softplus(z) is exp(z) to rounding, and its log is z


def _log_softplus(z: Array) -> Array:
    return jnp.where(z < _FAR, z, jnp.log(jax.nn.softplus(jnp.maximum(z, _FAR))))


def _log_softplus_slope(z: Array) -> Array:
    near = jnp.maximum(z, _FAR)
    return jnp.where(z < _FAR, 1, jax.nn.sigmoid(near) / jax.nn.softplus(near))


def support(z: Float[Array, "... C"]) -> Array:
    """The options to which sparsemax gives anything, (..., C): those with sum_i max(z_i - z_j, 0) < 1.

    With the logits in falling order this is the paper's 1 + k z_(k) > z_(1) + ... + z_(k), without sorting.
    """
    return jnp.sum(jnp.maximum(z[..., :, None] - z[..., None, :], 0), axis=-2) < 1


def _threshold(z: Float[Array, "... C"]) -> Array:
    """The tau for which sum_j max(z_j - tau, 0) = 1, (..., 1)."""
    is_in = support(z)
    return (jnp.sum(z, axis=-1, keepdims=True, where=is_in) - 1) / jnp.sum(is_in, axis=-1, keepdims=True)


def sparsemax(z: Float[Array, "... C"]) -> Float[Array, "... C"]:
    """Return the distribution nearest to z, max(z - tau, 0) (Martins & Astudillo, 2016)."""
    z = z - jnp.max(z, axis=-1, keepdims=True)
    return jnp.maximum(z - _threshold(z), 0)


def _sparsemax_loss(z: Float[Array, "B C"], labels: Int[Array, " B"]) -> Float[Array, ""]:
    """Return the mean of -z_y + sum of (z_j^2 - tau^2) / 2 over the support + 1/2: 0 where z_y leads by 1."""
    z = z - jax.lax.stop_gradient(jnp.max(z, axis=-1, keepdims=True))
    is_in, tau = support(z), _threshold(z)
    z_y = jnp.sum(z, axis=-1, where=jax.nn.one_hot(labels, z.shape[-1], dtype=bool))
    return jnp.mean(jnp.sum(z**2 - tau**2, axis=-1, where=is_in) / 2 + 0.5 - z_y)


def _sparsemax_logits_gradient(z: Float[Array, "B C"], labels: Int[Array, " B"]) -> Float[Array, "B C"]:
    return (sparsemax(z) - jax.nn.one_hot(labels, z.shape[-1], dtype=z.dtype)) / z.shape[0]


NORMALISERS: dict[str, Normaliser] = {
    normaliser.name: normaliser
    for normaliser in (
        of_score("exp", lambda z: z, jnp.ones_like),
        of_score(  # s(z) = z^2 + 1e-6: the spherical softmax (de Brébisson & Vincent, 2016)
            "square", lambda z: jnp.log(z**2 + FLOOR), lambda z: 2 * z / (z**2 + FLOOR)
        ),
        of_score(  # s(z) = 1 + z + z^2 / 2, exp to second order, never below 1/2: the Taylor softmax (same paper)
            "taylor", lambda z: jnp.log(1 + z + z**2 / 2), lambda z: (1 + z) / (1 + z + z**2 / 2)
        ),
        of_score("softplus", _log_softplus, _log_softplus_slope),
        of_score("sigmoid", jax.nn.log_sigmoid, lambda z: jax.nn.sigmoid(-z)),
        Normaliser("sparsemax", sparsemax, Loss(_sparsemax_loss, _sparsemax_logits_gradient, "sparsemax")),
        of_score(  # s(z) = 1 + z from 0 on, 1 / (1 - z) below (Prieto et al., 2025)
            "stablemax", lambda z: jnp.sign(z) * jnp.log1p(jnp.abs(z)), lambda z: 1 / (1 + jnp.abs(z))
        ),
    )
}
