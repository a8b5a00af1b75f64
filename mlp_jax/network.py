"""The network: its parameters, its forward pass, and its forward pass with a trace for backprop.

h_0 = x;  z_l = h_{l-1} W_l + b_l  for l = 1 ... L;  h_l = phi(z_l) for l < L;  logits = z_L.

With one layer, sizes (D, C), this is softmax regression. The network computes in the
parameters' dtype: x is cast to it, and the logits have it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.nn.initializers import Initializer, zeros
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mlp_jax import _doors
from mlp_jax._doors import door
from mlp_jax._types import Input
from mlp_jax._types import Layer as Layer
from mlp_jax._types import Params as Params
from mlp_jax.activations import Activation, relu


class Trace(NamedTuple):
    """Values that a forward pass keeps for backprop, so that every rule is local.

    Attributes:
      h: (h_0, ..., h_{L-1}), the input of every layer, (B, d_{l-1}); d loss / d W_l needs it.
      z: (z_1, ..., z_L), the pre-activations, (B, d_l); the last are the logits.
      derivative: (phi'(z_1), ..., phi'(z_{L-1})), which delta_l needs.
    """

    h: tuple[Float[Array, "B _"], ...]
    z: tuple[Float[Array, "B _"], ...]
    derivative: tuple[Float[Array, "B _"], ...]


@dataclass(frozen=True)
class _Initializer:
    """An initialiser, equal to others of the same code and settings, so that they share a compiled program.

    `jax.nn.initializers.normal(0.1)` is a new function at every call.
    """

    content: Any
    function: Initializer = field(compare=False)

    def __call__(self, key: Array, shape: Sequence[int], dtype: Any) -> Array:
        return self.function(key, shape, dtype)


def _as_initializer(name: str, value: Any) -> _Initializer:
    _doors.check_function(name, value)
    content = value
    if getattr(value, "__module__", "").startswith("jax.") and hasattr(value, "__code__"):  # of anyone else: identity
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        content = (value.__code__, value.__defaults__, repr(cells))
    try:
        hash(content)
    except TypeError:
        content = id(value)
    return _Initializer(content, value)


def _checked(key: Any, sizes: Any, activation: Any, weight_init: Any, bias_init: Any, dtype: Any) -> dict[str, Any]:
    _doors.check_key(key)
    sizes = _doors.as_sizes(sizes)
    _doors.check_record("activation", activation, Activation)
    return {
        "key": key,
        "sizes": sizes,
        "activation": relu,  # it has chosen weight_init, and decides nothing else
        "weight_init": _as_initializer("weight_init", activation.weight_init if weight_init is None else weight_init),
        "bias_init": _as_initializer("bias_init", bias_init),
        "dtype": _doors.as_float_dtype("dtype", dtype),
    }


@door(_checked)
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
      key: a key of `jax.random`, split once per weight and per bias.
      sizes: the widths (D, d_1, ..., C), at least two: (D, C) has no hidden layer.
      activation: the network's activation; it chooses the weights' initialiser.
      weight_init: any of `jax.nn.initializers`. None takes the activation's own: He's (variance 2 / fan_in) for relu,
        leaky_relu, softplus, silu, gelu and mish, which pass half of the signal; Glorot's (2 / (fan_in + fan_out)) for
        sigmoid and tanh; LeCun's (1 / fan_in) for identity, selu and sin.
      bias_init: the biases' initialiser. The default is zeros: the weights already break the symmetry.
      dtype: the dtype of the parameters, and so of the network; None is jax.numpy's default float.

    Returns:
      L = len(sizes) - 1 `Layer` records, each with W_l (d_{l-1}, d_l) and b_l (d_l,).

    Raises:
      ValueError: if there are fewer than two sizes or a size is below 1.
      TypeError: if `key` is not one key, `activation` is not an `Activation`, an initialiser is not a function that JAX
        can compile, or `dtype` is not a floating type.

    Example:
      >>> params = init_params(jax.random.key(0), (64, 128, 10))
      >>> [layer.weight.shape for layer in params]
      [(64, 128), (128, 10)]
    """
    assert weight_init is not None  # the door has filled it in
    keys = jax.random.split(key, (len(sizes) - 1, 2))
    shapes = list(itertools.pairwise(sizes))
    layers = dict[int, Layer]()
    for shape in dict.fromkeys(shapes):  # layers of one shape are drawn at once, since each draw is slow to compile
        same = np.array([l for l, other in enumerate(shapes) if other == shape])
        weights = jax.vmap(lambda key, shape=shape: weight_init(key, shape, dtype))(keys[same, 0])
        biases = jax.vmap(lambda key, shape=shape: bias_init(key, shape[1:], dtype))(keys[same, 1])
        layers |= zip(same, map(Layer, weights, biases), strict=True)
    return tuple(layers[l] for l in range(len(shapes)))


def as_network(params: Any, x: Any, activation: Any, **directions: Any) -> dict[str, Any]:
    """Check params, x and activation, and a tangent (like params) or a cotangent (like the logits) if there is one."""
    _doors.check_record("activation", activation, Activation)
    params = _doors.as_params(params)
    weight, bias = params[0].weight, params[-1].bias
    checked = {"params": params, "x": _doors.as_inputs(x, weight.shape[0], weight.dtype), "activation": activation}
    if "tangent" in directions:
        checked["tangent"] = _doors.as_tangent(directions["tangent"], params)
    if "cotangent" in directions:
        shape = (checked["x"].shape[0], *bias.shape)
        u = _doors.as_direction("cotangent", directions["cotangent"], "the logits", shape, bias.dtype)
        checked["cotangent"] = u
    return checked


@door(as_network)
def forward(params: Params, x: Input, activation: Activation = relu) -> Float[Array, "B C"]:
    """Return the logits z_L of a batch.

    Args:
      params: the layers, as `init_params` gives them.
      x: examples, (B, D).
      activation: phi, between the layers; the last layer is linear.

    Returns:
      logits, (B, C), in the parameters' dtype.

    Raises:
      ValueError, TypeError: if the shapes or dtypes of params and x do not fit, the batch is empty, or x is not finite.

    Example:
      >>> params = (Layer(jax.numpy.eye(2), jax.numpy.zeros(2)), Layer(jax.numpy.ones((2, 1)), jax.numpy.ones(1)))
      >>> print(forward(params, [[3.0, -5.0]]))  # relu(3) + relu(-5) + 1
      [[4.]]
    """
    h = x
    for layer in params[:-1]:
        h = activation.value(linear(layer, h))
    return linear(params[-1], h)


@door(as_network)
def forward_with_trace(params: Params, x: Input, activation: Activation = relu) -> tuple[Float[Array, "B C"], Trace]:
    """Return the logits, and the `Trace` of inputs, pre-activations and derivatives that backprop needs.

    Arguments and errors as `forward`.

    Example:
      >>> params = init_params(jax.random.key(0), (3, 4, 2))
      >>> logits, trace = forward_with_trace(params, jax.numpy.ones((5, 3)))
      >>> [h.shape for h in trace.h], [z.shape for z in trace.z]
      ([(5, 3), (5, 4)], [(5, 4), (5, 2)])
    """
    hs, zs, derivatives = [x], [], []
    for layer in params[:-1]:
        z = linear(layer, hs[-1])
        h, derivative = activation.pair(z)
        zs.append(z)
        hs.append(h)
        derivatives.append(derivative)
    logits = linear(params[-1], hs[-1])
    return logits, Trace(tuple(hs), (*zs, logits), tuple(derivatives))


def linear(layer: Layer, h: Float[Array, "B fan_in"]) -> Float[Array, "B fan_out"]:
    """Return z = h W + b."""
    return h @ layer.weight + layer.bias[None, :]
