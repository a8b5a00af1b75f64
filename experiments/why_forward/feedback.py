"""Backward passes with fixed random matrices for the weights, as one gradient function for `mlp_jax.train`.

What reaches h_l comes back through B_l or C_l, drawn once, where backprop has the weights as they are now:

    delta_l = (delta_{l+1} (s W_{l+1}^T + B_l) + delta_L C_l) * phi'(z_l),    B_l (d_{l+1}, d_l), C_l (C, d_l)

    backprop                    s = 1, B = 0, C = 0
    feedback alignment          s = 0, B random         (Lillicrap et al., 2016)
    direct feedback alignment   s = 0, C random         (Nøkland, 2016)
    last layer alone            all 0

and dW_l = h_{l-1}^T delta_l stays: the forward values are kept. So all rules are runs of one program.
"""

from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import mlp_jax
from experiments.tasks import generator
from mlp_jax import Activation, Loss, Params
from mlp_jax.backpropagation import linear_gradient
from mlp_jax.network import forward_with_trace

BP, FA, DFA, LAST = RULES = "backprop", "feedback alignment", "direct feedback alignment", "last layer alone"


class Feedback(NamedTuple):
    """What replaces the weights on the way back, one B and C for every hidden layer."""

    s: Float[Array, ""]
    B: tuple[Float[Array, "_ _"], ...]
    C: tuple[Float[Array, "_ _"], ...]


def gradient_by(
    feedback: Feedback, params: Params, x: Any, targets: Any, activation: Activation, loss: Loss
) -> tuple[Float[Array, ""], Params]:
    """Return the loss and what stands for its gradient, by the formula above."""
    logits, trace = forward_with_trace(params, x, activation)
    s, delta_L = feedback.s, loss.logits_gradient(logits, targets)
    deltas = [delta_L]
    ways_back = zip(params[1:], feedback.B, feedback.C, trace.derivative, strict=True)
    for (W, _), B, C, derivative in reversed(list(ways_back)):
        deltas.insert(0, (deltas[0] @ (s * W.T + B) + delta_L @ C) * derivative)
    return loss(logits, targets), tuple(linear_gradient(h, delta) for h, delta in zip(trace.h, deltas, strict=True))


def feedback_for(rule: str, key: jax.Array, params: Params) -> Feedback:
    """Draw the feedback of a rule for networks (their leading axes alike), as long as what backprop has there at first.

    That is |W_{l+1}| for B_l, and for C_l the length of the whole way W_{l+1} ... W_L, without the activations.
    """
    weights: list[Any] = [np.asarray(layer.weight) for layer in params[1:]]
    ways = [reduce(np.matmul, weights[l:]) for l in range(len(weights))]
    B, C = (
        tuple((rule == drawn) * like(W.swapaxes(-1, -2), rng) for W in matrices)
        for drawn, matrices, rng in ((FA, weights, generator(key)), (DFA, ways, generator(key)))
    )
    s: Any = np.full(weights[0].shape[:-2], float(rule == BP))
    return Feedback(s, B, C)


def like(W: Any, rng: np.random.Generator) -> Any:
    """Draw a normal random matrix of W's shape and Frobenius norm."""
    B = rng.standard_normal(W.shape)
    length, drawn = (np.linalg.norm(a, axis=(-2, -1), keepdims=True) for a in (W, B))
    return B * length / drawn


def products(feedback: Feedback, params: Params, x: Any, targets: Any, activation: Activation) -> jax.Array:
    """Return the inner products of a rule's dW_l and the true one among themselves (hidden layers, 2, 2).

    The rule and backprop are two ways back after one forward pass.
    """
    way_of_backprop = Feedback(jnp.ones(()), *jax.tree.map(jnp.zeros_like, feedback[1:]))
    both = jax.tree.map(lambda *ways: jnp.stack(ways), feedback, way_of_backprop)
    _, gradients = jax.vmap(lambda way: gradient_by(way, params, x, targets, activation, mlp_jax.cross_entropy))(both)
    return jnp.stack([jnp.tensordot(dW, dW, ((1, 2), (1, 2))) for dW, _ in gradients[:-1]])


def angle_of(products: np.ndarray) -> np.ndarray:
    """Return the angle in degrees of two vectors with these inner products (..., 2, 2); 90 if one is 0."""
    (aa, ab), (_, bb) = np.moveaxis(np.asarray(products, float), (-2, -1), (0, 1))
    lengths = np.sqrt(aa * bb)
    cosine = np.divide(ab, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
