"""The network: parameters, forward pass, and the forward pass that remembers what backprop needs.

h_0 = x;  z_l = h_{l-1} W_l + b_l  for l = 1 ... L;  h_l = phi(z_l) for l < L;  logits = z_L.

With one layer, sizes (D, C), this is softmax regression. The parameters' dtype is the network's: x is taken
in it, and the logits come out in it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer, zeros
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mlp_jax import _doors
from mlp_jax._doors import ArrayLike
from mlp_jax.activations import Activation, relu


class Layer(NamedTuple):
    """The parameters of one layer, z = h W + b."""

    weight: Float[Array, "fan_in fan_out"]
    bias: Float[Array, " fan_out"]


Params = tuple[Layer, ...]


class Trace(NamedTuple):
    """What a forward pass leaves for backprop: with it every rule is local.

    Attributes:
      h: (h_0, ..., h_{L-1}), the input of every layer, (B, d_{l-1}); d loss / d W_l needs it.
      z: (z_1, ..., z_L), the pre-activations, (B, d_l); the last are the logits.
      derivative: (phi'(z_1), ..., phi'(z_{L-1})), which delta_l needs.
    """

    h: tuple[Float[Array, "B _"], ...]
    z: tuple[Float[Array, "B _"], ...]
    derivative: tuple[Float[Array, "B _"], ...]


def init_params(
    key: Array,
    sizes: Sequence[int],
    activation: Activation = relu,
    weight_init: Initializer | None = None,
    bias_init: Initializer = zeros,
    dtype: DTypeLike | None = None,
) -> Params:
    """Draw the parameters of a network.

    Args:
      key: a key of `jax.random`, split once for every weight and every bias.
      sizes: the widths (D, d_1, ..., C), at least two: (D, C) has no hidden layer.
      activation: the network's activation; it chooses the weights' initialiser.
      weight_init: any of `jax.nn.initializers`. None takes the activation's own: He's (variance
        2 / fan_in) for relu, leaky_relu, softplus, silu and gelu, which pass half of the signal; Glorot's
        (2 / (fan_in + fan_out)) for sigmoid and tanh; LeCun's (1 / fan_in) for identity and sin.
      bias_init: the biases' initialiser, zeros by default: the weights already break the symmetry.
      dtype: of the parameters, and so of the network; None is jax.numpy's default float.

    Returns:
      One `Layer` for each of the L = len(sizes) - 1 layers, W_l (d_{l-1}, d_l) and b_l (d_l,).

    Raises:
      ValueError, TypeError: for fewer than two sizes, a size below 1, or an activation that is no record.

    Example:
      >>> params = init_params(jax.random.key(0), (64, 128, 10))
      >>> [layer.weight.shape for layer in params]
      [(64, 128), (128, 10)]
    """
    _doors.check_key(key)
    sizes = _doors.as_sizes(sizes)
    _doors.check_record("activation", activation, Activation)
    weight_init = activation.weight_init if weight_init is None else weight_init
    dtype = jnp.zeros((), dtype).dtype if dtype is not None else jnp.zeros(()).dtype
    keys = jax.random.split(key, (len(sizes) - 1, 2))
    return tuple(
        Layer(weight_init(key_w, (fan_in, fan_out), dtype), bias_init(key_b, (fan_out,), dtype))
        for (key_w, key_b), fan_in, fan_out in zip(keys, sizes[:-1], sizes[1:], strict=True)
    )


def forward(params: Params, x: ArrayLike, activation: Activation = relu) -> Float[Array, "B C"]:
    """Return the logits z_L of a batch.

    Args:
      params: the layers, as `init_params` gives them.
      x: examples, (B, D).
      activation: phi, between the layers; the last layer is linear.

    Returns:
      logits, (B, C), in the parameters' dtype.

    Raises:
      ValueError, TypeError: for params or x whose shapes do not fit, an empty batch, x that is not finite.

    Example:
      >>> params = (Layer(jnp.eye(2), jnp.zeros(2)), Layer(jnp.ones((2, 1)), jnp.ones(1)))
      >>> print(forward(params, [[3.0, -5.0]]))  # relu(3) + relu(-5) + 1
      [[4.]]
    """
    params, x = validate(params, x, activation)
    h = x
    for layer in params[:-1]:
        h = activation.value(linear(layer, h))
    return linear(params[-1], h)


def forward_with_trace(
    params: Params, x: ArrayLike, activation: Activation = relu
) -> tuple[Float[Array, "B C"], Trace]:
    """Return the logits and the `Trace` of inputs, pre-activations and derivatives that backprop needs.

    Arguments and errors as `forward`.

    Example:
      >>> params = init_params(jax.random.key(0), (3, 4, 2))
      >>> logits, trace = forward_with_trace(params, jnp.ones((5, 3)))
      >>> [h.shape for h in trace.h], [z.shape for z in trace.z]
      ([(5, 3), (5, 4)], [(5, 4), (5, 2)])
    """
    params, x = validate(params, x, activation)
    hs, zs, derivatives = [x], [], []
    for layer in params[:-1]:
        z = linear(layer, hs[-1])
        h, derivative = activation.value_and_derivative(z)
        zs.append(z)
        hs.append(h)
        derivatives.append(derivative)
    logits = linear(params[-1], hs[-1])
    return logits, Trace(tuple(hs), (*zs, logits), tuple(derivatives))


def linear(layer: Layer, h: Float[Array, "B fan_in"]) -> Float[Array, "B fan_out"]:
    """z = h W + b."""
    return h @ layer.weight + layer.bias[None, :]


def validate(params: Params, x: ArrayLike, activation: Activation) -> tuple[Params, Float[Array, "B D"]]:
    """Return params and x as arrays that fit each other, or raise; the check at every network's door."""
    _doors.check_record("activation", activation, Activation)
    layers = tuple(Layer(weight, bias) for weight, bias in _doors.as_params(params))
    weight = layers[0].weight
    return layers, _doors.as_inputs(x, weight.shape[0], weight.dtype)


def validate_tangent(tangent: Params, params: Params) -> Params:
    """Return a direction of the parameters as arrays of their shapes and dtype, or raise."""
    return tuple(Layer(weight, bias) for weight, bias in _doors.as_tangent(tangent, params))
