"""Backward passes that are deliberately wrong, each by one textbook mistake, and all else right.

`backward` is the chain of `mlp_jax.backprop` with its local rules injected, so that a mistake is one rule.
"""

from functools import partial

import jax.numpy as jnp

import mlp_jax
from mlp_jax import Layer, softmax
from mlp_jax.backpropagation import activation_backward, linear_backward, linear_gradient, loss_backward


def backward(
    params,
    x,
    targets,
    activation,
    loss,
    loss_backward=loss_backward,
    linear_backward=linear_backward,
    activation_backward=activation_backward,
    linear_gradient=linear_gradient,
    derivative_of=lambda activation, z, h: activation.derivative(z),
    weights=lambda params, layer: params[layer].weight,
    inputs=lambda trace, layer: trace.h[layer],
):
    logits, trace = mlp_jax.forward_with_trace(params, x, activation)
    delta = loss_backward(loss, logits, targets)
    gradients = []
    for layer in reversed(range(len(params))):
        gradients.insert(0, linear_gradient(inputs(trace, layer), delta))
        if layer:
            dh = linear_backward(weights(params, layer), delta)
            delta = activation_backward(derivative_of(activation, trace.z[layer - 1], trace.h[layer]), dh)
    return loss(logits, targets), tuple(gradients)


def _softmax_over_batch(loss, z, y):
    return (softmax(z.T).T - jnp.eye(z.shape[1])[y]) / len(y)


def _diagonal_jacobian(loss, z, y):
    p = softmax(z)
    return -jnp.eye(z.shape[1])[y] * (1 - p) / len(y)


def _output_derivative_kept(loss, z, y):
    p = softmax(z)
    return loss_backward(loss, z, y) * p * (1 - p)


def _without_batch_mean(loss, z, y):
    return loss_backward(loss, z, y) * len(y)


# Every one gives another gradient on a network with square hidden layers, two or more, and a batch of several.
BROKEN = {
    "no 1/B": partial(backward, loss_backward=_without_batch_mean),
    "1/B twice": partial(backward, linear_gradient=lambda h, d: Layer(h.T @ d / len(h), d.sum(0) / len(h))),
    "mean over classes too": partial(backward, loss_backward=lambda f, z, y: loss_backward(f, z, y) / z.shape[1]),
    "factor 2": partial(backward, loss_backward=lambda f, z, y: 2 * loss_backward(f, z, y)),
    "sign": partial(backward, loss_backward=lambda f, z, y: -loss_backward(f, z, y)),
    "output derivative kept": partial(backward, loss_backward=_output_derivative_kept),
    "softmax Jacobian taken diagonal": partial(backward, loss_backward=_diagonal_jacobian),
    "softmax over the batch": partial(backward, loss_backward=_softmax_over_batch),
    "labels off by one": partial(backward, loss_backward=lambda f, z, y: loss_backward(f, z, (y + 1) % z.shape[1])),
    "no activation derivative": partial(backward, activation_backward=lambda derivative, dh: dh),
    "derivative at h for z": partial(backward, derivative_of=lambda phi, z, h: phi.derivative(h)),
    "another activation's derivative": partial(backward, derivative_of=lambda phi, z, h: mlp_jax.sigmoid.derivative(z)),
    "W not transposed": partial(backward, linear_backward=lambda W, d: d @ (W if W.shape[0] == W.shape[1] else W.T)),
    "W of the wrong layer": partial(
        backward, weights=lambda params, layer: params[layer - 1 if layer == 2 else layer].weight
    ),
    "dW transposed": partial(
        backward,
        linear_gradient=lambda h, d: Layer((d.T @ h) if h.shape[1] == d.shape[1] else h.T @ d, d.sum(0)),
    ),
    "db a mean": partial(backward, linear_gradient=lambda h, d: Layer(h.T @ d, d.mean(0))),
    "db of one example": partial(backward, linear_gradient=lambda h, d: Layer(h.T @ d, d[0])),
    "db missing": partial(backward, linear_gradient=lambda h, d: Layer(h.T @ d, 0 * d[0])),
    "z for h": partial(backward, inputs=lambda trace, layer: trace.z[layer - 1] if layer else trace.h[0]),
    "0.1 % off in one bias": partial(
        backward, linear_gradient=lambda h, d: Layer(h.T @ d, d.sum(0).at[0].multiply(1.001))
    ),
}
