"""Parametrisations: what is trained, and the plain network that it stands for.

STANDARD trains the layers themselves. NTK has the parts of RealMLP (Holzmüller, Grinsztajn & Steinwart, 2024) that are
no plain layers: scales s of the features are learned, and the layers are in the neural tangent parametrisation.

    logits = forward(folded(p), x),  with the first layer V_1 = diag(s) W_1:  x V_1 = (x * s) W_1

So the gradient is that of `backprop` at V_1, by the chain rule: d s_i = sum_j dV_ij W_ij and dW_ij = s_i dV_ij.

A layer in the neural tangent parametrisation is h W' / sqrt(fan_in), with W' of variance 1. Adam's step does not depend
on the size of a gradient, so a step of W' by the rate r is one of W = W' / sqrt(fan_in) by the rate r / sqrt(fan_in):
only the rates of plain layers differ.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from mlp_jax.activations import LECUN, Activation
from mlp_jax.backpropagation import backprop
from mlp_jax.losses import Loss
from mlp_jax.network import Layer, Params, forward, init_params

RATE_OF_SCALES, RATE_OF_BIASES = 6.0, 0.1  # over that of W'; chosen by the authors on many tables


class Scaled(NamedTuple):
    """A network with scales s (D,) of its features."""

    s: Float[Array, " D"]
    layers: Params


def folded(p: Scaled) -> Params:
    """Return the plain network that computes the same."""
    (W, b), *others = p.layers
    return (Layer(p.s[..., :, None] * W, b), *others)


def scaled_forward(p: Scaled, x: Float[Array, "B D"], activation: Activation) -> Float[Array, "B C"]:
    """Return the logits."""
    return forward.room(folded(p), x, activation)


def scaled_backprop(
    p: Scaled, x: Float[Array, "B D"], targets: Array, activation: Activation, loss: Loss
) -> tuple[Float[Array, ""], Scaled]:
    """Return (loss, gradients), by hand."""
    value, ((dV, db), *others) = backprop.room(folded(p), x, targets, activation, loss)
    W = p.layers[0].weight
    return value, Scaled(jnp.sum(dV * W, axis=1), (Layer(p.s[:, None] * dV, db), *others))


def init_scaled(key: Array, sizes: tuple[int, ...], activation: Activation, dtype: Any) -> Scaled:
    """Draw W' and biases of variance 1; the last layer is 0, so that the first predictions are all equal."""
    *hidden, last = init_params.room(
        key, sizes, activation, weight_init=LECUN, bias_init=jax.nn.initializers.normal(1.0), dtype=dtype
    )
    return Scaled(jnp.ones(sizes[0], dtype), (*hidden, jax.tree.map(jnp.zeros_like, last)))


def rates() -> optax.GradientTransformation:
    """Return the transformation of an optimiser's updates that gives each leaf of `Scaled` its rate."""

    def of_layer(update: Layer) -> Layer:
        return Layer(update.weight / update.weight.shape[0] ** 0.5, RATE_OF_BIASES * update.bias)

    return optax.stateless(lambda u, _: Scaled(RATE_OF_SCALES * u.s, tuple(map(of_layer, u.layers))))


class Parametrization(NamedTuple):
    """A parametrisation, as functions.

    Attributes:
      init: init(key, sizes=, activation=, dtype=) -> what is trained.
      gradient, forward: of it, as `train` takes them.
      folded: of it, the plain network.
      rates: () -> the transformation of an optimiser's updates.
    """

    init: Callable[..., Any]
    gradient: Callable[..., Any]
    forward: Callable[..., Any]
    folded: Callable[[Any], Params]
    rates: Callable[[], optax.GradientTransformation]


STANDARD = Parametrization(init_params, backprop, forward, lambda params: params, optax.identity)
NTK = Parametrization(init_scaled, scaled_backprop, scaled_forward, folded, rates)
PARAMETRIZATIONS = {"standard": STANDARD, "ntk": NTK}
