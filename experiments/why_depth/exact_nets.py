"""ReLU networks whose weights are written down, not trained. Their numbers are dyadic where exactness matters."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlp_jax import Layer, Params


def shallow_square(units: int) -> Params:
    """Return the 1-n-1 network that is nearest to x^2 on [0, 1]: sup error 1 / (8 (n + 1/2)^2).

    f(x) = h^2 / 8 + sum_i 2 h relu(x - (i + 1/2) h), i = 0 ... n - 1, with h = 1 / (n + 1/2): constant up to h / 2,
    then the chords of x^2 over steps of h, lowered by h^2 / 8.
    """
    h = 1 / (units + 0.5)
    return _one_hidden_layer(-h * (np.arange(units) + 0.5), np.full(units, 2 * h), h**2 / 8)


def shallow_square_of_pieces(pieces: int) -> Params:
    """Return the nearest to x^2 of N equal pieces, first slope free: sup error 1 / (8 N^2). The first unit is x."""
    h = 1 / pieces
    jumps = np.where(np.arange(pieces) == 0, h, 2 * h)
    return _one_hidden_layer(-h * np.arange(pieces), jumps, -(h**2) / 8)


def _one_hidden_layer(bias: np.ndarray, weight: np.ndarray, output_bias: float) -> Params:
    return _layer(np.ones((1, len(bias))), bias), _layer(weight[:, None], np.array([output_bias]))


def deep_square(layers: int) -> Params:
    """Return the 1-3-...-3-1 network f_m of Yarotsky (2017), m layers: x^2 on [0, 1] with sup error 2^-2(m + 1).

    f_m = x - sum_{s <= m} g_s / 4^s, where g_s = 2 relu(g_{s-1}) - 4 relu(g_{s-1} - 1/2) and g_0 = x is the sawtooth
    with 2^s pieces. Two units of each layer make g_s, the third carries f_{s-1}, which relu leaves as it is.
    """
    hidden = [_layer(np.ones((1, 3)), np.array([0, -0.5, 0]))]
    for s in range(1, layers):
        g, carried = np.array([2.0, -4, 0]), np.array([0, 0, 1.0])
        hidden.append(_layer(np.stack([g, g, carried - g / 4**s], axis=1), np.array([0, -0.5, 0])))
    return *hidden, _layer(np.array([[-2.0], [4], [4**layers]]) / 4**layers, np.zeros(1))


def sawtooth_net(pieces: Sequence[int], width: int | None = None) -> Params:
    """Return a network whose layer l folds [0, 1] into pieces[l] pieces: the sawtooth with their product on [0, 1].

    One layer of p units: g(x) = p relu(x) + sum_j (-1)^j 2 p relu(x - j / p), j = 1 ... p - 1. With a width, each
    layer gets spare units of zero weights.
    """
    layers, before = [], np.ones((1, 1))  # how the layer's input is made of the units before
    for p in pieces:
        spare = 0 if width is None else width - p
        weight = np.pad(before @ np.ones((1, p)), ((0, 0), (0, spare)))
        layers.append(_layer(weight, np.pad(-np.arange(p) / p, (0, spare))))
        jumps = 2.0 * p * (-1.0) ** np.arange(p)
        jumps[0] = p
        before = np.pad(jumps, (0, spare))[:, None]
    return *layers, _layer(before, np.zeros(1))


def on_symmetric_inputs(params: Params) -> Params:
    """Return the same function of z = 2 x - 1: x = (z + 1) / 2 goes into the first layer."""
    weight, bias = params[0]
    return _layer(weight / 2, bias + np.sum(weight, axis=0) / 2), *params[1:]


def _layer(weight: Any, bias: Any) -> Layer:
    """Return a layer in NumPy's float64: JAX's functions take it, and round it unless float64 is on."""
    return Layer(weight, bias)


def value(params: Params, x: np.ndarray) -> np.ndarray:
    """Return the network's function of one number (N,), in float64."""
    h = x[:, None]
    for weight, bias in params[:-1]:
        h = np.maximum(h @ weight + bias, 0)
    weight, bias = params[-1]
    return (h @ weight + bias)[:, 0]


def hidden_units(params: Params) -> int:
    """Return how many units there are between input and output."""
    return sum(layer.bias.shape[0] for layer in params[:-1])
