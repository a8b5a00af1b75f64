"""Backpropagation by hand: one local rule per function, then the chain from W_L back to W_1.

With delta_l = d loss / d z_l, (B, d_l), the chain rule through z_l = h_{l-1} W_l + b_l and h_l = phi(z_l) reads

    delta_L   = the loss's own derivative in the logits, (p - one_hot(y)) / B for softmax and cross-entropy
    d h_{l-1} = delta_l W_l^T                     back through the linear map
    delta_l   = d h_l * phi'(z_l)                 back through the activation, entry by entry
    d W_l     = h_{l-1}^T delta_l                 every example's outer product, summed
    d b_l     = sum over the batch of delta_l

Only delta_L contains the 1 / B of the mean.
"""

from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from mlp_jax import _doors
from mlp_jax._doors import door
from mlp_jax._types import Input, Layer, Params, Targets
from mlp_jax.activations import Activation, relu
from mlp_jax.losses import Loss, cross_entropy, targets_of
from mlp_jax.network import Trace, as_network, forward, forward_with_trace


def linear_backward(
    weight: Float[Array, "fan_in fan_out"], delta: Float[Array, "B fan_out"]
) -> Float[Array, "B fan_in"]:
    """Return d h = delta W^T for z = h W + b."""
    return delta @ weight.T


def linear_gradient(h: Float[Array, "B fan_in"], delta: Float[Array, "B fan_out"]) -> Layer:
    """Return d W = h^T delta and d b = sum_B delta for z = h W + b."""
    return Layer(weight=h.T @ delta, bias=delta.sum(axis=0))


def activation_backward(derivative: Float[Array, "#B d"], dh: Float[Array, "B d"]) -> Float[Array, "B d"]:
    """Return delta = d h * phi'(z) for h = phi(z), of B examples, or of one example for B different d h."""
    return dh * derivative


def loss_backward(
    loss: Loss, logits: Float[Array, "B C"], targets: Targets
) -> tuple[Float[Array, ""], Float[Array, "B C"]]:
    """Return the loss and delta_L: (p - one_hot(y)) / B for cross_entropy, 2 (z - t) / B for squared_error."""
    return loss.pair(logits, targets)


def backward(params: Params, trace: Trace, delta: Float[Array, "B C"]) -> tuple[Float[Array, "B _"], ...]:
    """Return (delta_1, ..., delta_L) from delta_L, by the chain from W_L back to W_2."""
    deltas = [delta]
    for (weight, _), derivative in zip(reversed(params[1:]), reversed(trace.derivative), strict=True):
        deltas.insert(0, activation_backward(derivative, linear_backward(weight, deltas[0])))
    return tuple(deltas)


def gradients_of(trace: Trace, deltas: tuple[Float[Array, "B _"], ...]) -> Params:
    """Return d W_l and d b_l of every layer, from its input and its delta."""
    return tuple(linear_gradient(h, delta) for h, delta in zip(trace.h, deltas, strict=True))


class BackwardTrace(NamedTuple):
    """All numbers of a backward pass.

    Attributes:
      loss: the scalar.
      gradients: like the parameters.
      forward: the `Trace` of the forward pass.
      delta: (delta_1, ..., delta_L), d loss / d z_l, each (B, d_l).
    """

    loss: Float[Array, ""]
    gradients: Params
    forward: Trace
    delta: tuple[Float[Array, "B _"], ...]


def as_examples(loss: Any, targets: Any, **network: Any) -> dict[str, Any]:
    """Check the arguments of a loss's gradient: those of `as_network`, the loss and its targets."""
    _doors.check_record("loss", loss, Loss)
    checked = as_network(**network)
    bias = checked["params"][-1].bias
    t = targets_of(loss, targets, checked["x"].shape[0], bias.shape[0], bias.dtype)
    return checked | {"loss": loss, "targets": t}


@door(as_examples)
def backprop_with_trace(
    params: Params, x: Input, targets: Targets, activation: Activation = relu, loss: Loss = cross_entropy
) -> BackwardTrace:
    """Return loss and gradients as `backprop`, and every h_l, z_l, phi'(z_l) and delta_l on the way.

    Arguments and errors as `backprop`.

    Example:
      >>> from mlp_jax import init_params
      >>> params = init_params(jax.random.key(0), (3, 4, 2))
      >>> trace = backprop_with_trace(params, [[1.0, 2.0, 3.0]], jax.numpy.array([1]))
      >>> [delta.shape for delta in trace.delta]
      [(1, 4), (1, 2)]
    """
    logits, trace = forward_with_trace.room(params, x, activation)
    value, delta = loss_backward(loss, logits, targets)
    deltas = backward(params, trace, delta)
    return BackwardTrace(value, gradients_of(trace, deltas), trace, deltas)


@door(as_examples)
def backprop(
    params: Params, x: Input, targets: Targets, activation: Activation = relu, loss: Loss = cross_entropy
) -> tuple[Float[Array, ""], Params]:
    """Return the loss and its gradient in every parameter, derived by hand (Rumelhart, Hinton & Williams, 1986).

    Args:
      params: the layers, as `init_params` gives them.
      x: examples, (B, D).
      targets: labels (B,), integers in [0, C), or floats (B, C) as the loss takes them.
      activation: phi, between the layers.
      loss: `cross_entropy` (the default, for classes), `squared_error`, or a `Loss` of your own.

    Returns:
      (loss, gradients), the scalar mean over the batch, and d loss / d W_l, d loss / d b_l in the form of params.

    Raises:
      ValueError, TypeError: if shapes do not fit, the batch is empty, x is not finite, or labels are not integers
        in [0, C). Under jit values cannot be read, and a bad label gives NaN.

    Example:
      >>> from mlp_jax import init_params
      >>> params = init_params(jax.random.key(0), (2, 2))
      >>> loss, gradients = backprop(params, [[1.0, 2.0]], jax.numpy.array([0]))
      >>> gradients[0].weight.shape, gradients[0].bias.shape
      ((2, 2), (2,))
    """
    trace = backprop_with_trace.room(params, x, targets, activation, loss)
    return trace.loss, trace.gradients


@door(as_examples)
def autodiff(
    params: Params, x: Input, targets: Targets, activation: Activation = relu, loss: Loss = cross_entropy
) -> tuple[Float[Array, ""], Params]:
    """Return what `backprop` returns, by `jax.value_and_grad` of the plain forward pass and loss.

    Signature, result and errors are those of `backprop`, so `train` takes either. No hand-written rule of ours is
    inside, so each can be checked against the other.

    Example:
      >>> from mlp_jax import init_params
      >>> params = init_params(jax.random.key(0), (2, 2))
      >>> loss, gradients = autodiff(params, [[1.0, 2.0]], jax.numpy.array([0]))
      >>> gradients[0].weight.shape
      (2, 2)
    """
    return jax.value_and_grad(lambda params: loss.value(forward.room(params, x, activation), targets))(params)
