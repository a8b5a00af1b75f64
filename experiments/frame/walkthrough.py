"""One backward pass, number by number: a 2-2-2 network from x to the updated weights, `jax.grad` beside each step."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import Layer, autodiff, backprop_with_trace, cross_entropy, forward, softmax, tanh

X = [[1.0, 2.0]]
LABELS = [0]
PARAMS = (([[0.5, -0.5], [0.25, 0.75]], [0.1, -0.2]), ([[1.0, -1.0], [0.5, 2.0]], [0.0, 0.3]))
LEARNING_RATE = 0.5


def text() -> str:
    """Return the walkthrough, one line a formula."""
    with jax.enable_x64(True):
        return "\n".join(_lines())


def _lines() -> Iterator[str]:
    params = tuple(Layer(jnp.array(weight), jnp.array(bias)) for weight, bias in PARAMS)
    x, labels = jnp.array(X), jnp.array(LABELS)
    trace = backprop_with_trace(params, x, labels, tanh)
    z, h, delta = trace.forward.z, trace.forward.h, trace.delta
    by_autodiff = autodiff(params, x, labels, tanh)[1]
    delta_by_autodiff = [bias[None, :] for _, bias in by_autodiff]  # in a batch of one a shift of b_l is one of z_l

    yield "parameters"
    for l, layer in enumerate(params, 1):
        yield _line(f"W_{l}", "(D, d_1)" if l == 1 else "(d_1, C)", layer.weight)
        yield _line(f"b_{l}", "(d_1,)" if l == 1 else "(C,)", layer.bias)
    yield "forward"
    yield _line("x = h_0", "(B, D)", x)
    yield _line("z_1 = h_0 W_1 + b_1", "(B, d_1)", z[0])
    yield _line("h_1 = tanh(z_1)", "(B, d_1)", h[1])
    yield _line("logits = z_2 = h_1 W_2 + b_2", "(B, C)", z[1])
    yield _line("p = softmax(z_2)", "(B, C)", softmax(z[1]))
    yield _line(f"loss = -log p_y, y = {LABELS[0]}", "()", trace.loss)
    yield f"{'backward':<82}jax.grad"
    yield _line("delta_2 = (p - one_hot(y)) / B", "(B, C)", delta[1], delta_by_autodiff[1])
    yield _line("dW_2 = h_1^T delta_2", "(d_1, C)", trace.gradients[1].weight, by_autodiff[1].weight)
    yield _line("db_2 = sum_B delta_2", "(C,)", trace.gradients[1].bias, by_autodiff[1].bias)
    yield _line("tanh'(z_1)", "(B, d_1)", trace.forward.derivative[0])
    yield _line("delta_1 = delta_2 W_2^T * tanh'(z_1)", "(B, d_1)", delta[0], delta_by_autodiff[0])
    yield _line("dW_1 = h_0^T delta_1", "(D, d_1)", trace.gradients[0].weight, by_autodiff[0].weight)
    yield _line("db_1 = sum_B delta_1", "(d_1,)", trace.gradients[0].bias, by_autodiff[0].bias)
    updated = jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, trace.gradients)
    yield f"update, learning rate {LEARNING_RATE}"
    for l, layer in enumerate(updated, 1):
        yield _line(f"W_{l} - {LEARNING_RATE} dW_{l}", "(D, d_1)" if l == 1 else "(d_1, C)", layer.weight)
        yield _line(f"b_{l} - {LEARNING_RATE} db_{l}", "(d_1,)" if l == 1 else "(C,)", layer.bias)
    yield _line("loss afterwards", "()", cross_entropy(forward(updated, x, tanh), labels))


def _line(formula: str, shape: str, value: jax.Array, by_autodiff: jax.Array | None = None) -> str:
    line = f"  {formula:<38}{shape:<9}{_numbers(value):<33}"
    return (line + ("" if by_autodiff is None else _numbers(by_autodiff))).rstrip()


def _numbers(value: jax.Array) -> str:
    if value.ndim == 0:
        return f"{value:.4f}"
    rows = np.asarray(value).reshape(-1, value.shape[-1])
    return "; ".join(" ".join(f"{number:.4f}" for number in row) for row in rows)
