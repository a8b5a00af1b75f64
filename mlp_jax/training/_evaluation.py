"""Evaluation of a network: exact means of loss and accuracy over examples, batch by batch."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, PyTree

from mlp_jax import _doors
from mlp_jax._types import ArrayLike
from mlp_jax.activations import Activation, relu
from mlp_jax.losses import Loss, cross_entropy, predict
from mlp_jax.network import forward as plain_forward
from mlp_jax.training._batches import at_least_float32, scan_batches
from mlp_jax.training._recipe import as_examples_of, as_partial

EVALUATION_BATCH = 1024  # examples at a time, for matrix products at full speed in little memory


class Evaluation(NamedTuple):
    """Exact means over examples: the loss, and the share of labels predicted (NaN for float targets)."""

    loss: Float[Array, ""]
    accuracy: Float[Array, ""]


def evaluate(
    params: PyTree,
    x: ArrayLike,
    targets: ArrayLike,
    activation: Activation = relu,
    loss: Loss = cross_entropy,
    forward: Callable[..., Array] = plain_forward,
) -> Evaluation:
    """Return the exact mean loss and accuracy over all examples, computed 1,024 at a time.

    Args:
      params: the network's parameters.
      x: (N, D).
      targets: labels (N,), or floats (N, C), whose accuracy is NaN, since floats have no class.
      activation: phi, passed to `forward`.
      loss: a `Loss`.
      forward: forward(params, x, activation=) -> logits.

    Returns:
      `Evaluation(loss, accuracy)`, two scalars.

    Raises:
      ValueError, TypeError: if the data do not fit the network, as in `train`.

    Example:
      >>> from mlp_jax import Layer
      >>> params = (Layer(jnp.array([[-1.0, 1.0]]), jnp.zeros(2)),)
      >>> float(evaluate(params, [[1.0], [-1.0], [2.0], [-2.0]], jnp.array([1, 0, 1, 1])).accuracy)
      0.75
    """
    _doors.check_record("activation", activation, Activation)
    _doors.check_record("loss", loss, Loss)
    _doors.check_function("forward", forward)
    params, (x, targets) = as_examples_of("", (x, targets), params, forward, activation, loss)
    with _doors.compiling(("activation", "loss", "forward")):
        return _evaluate_jit(params, x, targets, as_partial(forward), activation, loss)


def evaluate_batches(
    params: PyTree, x: Array, targets: Array, forward: Partial, activation: Activation, loss: Loss
) -> Evaluation:
    """Evaluate checked arguments inside a compiled program."""

    def measure(carry: None, batch: Int[Array, " B"] | slice) -> tuple[None, Evaluation]:
        logits, t = forward(params, x[batch], activation=activation), targets[batch]
        is_class = jnp.issubdtype(t.dtype, jnp.integer)
        is_right = predict.room(logits) == t if is_class else jnp.full(logits.shape[:1], jnp.nan)
        return carry, Evaluation(loss.value(logits, t), jnp.mean(at_least_float32(is_right.astype(logits.dtype))))

    return scan_batches(measure, None, jnp.arange(x.shape[0]), EVALUATION_BATCH)[1]


_evaluate_jit = jax.jit(evaluate_batches, static_argnames=("activation", "loss"))
