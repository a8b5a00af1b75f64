"""Beyond the gradient, by hand: how far the same chain rule reaches.

R{.} is the derivative along a direction of the parameters, (V_l, c_l) for (W_l, b_l). It keeps the rules of every
derivative, so each line of the forward and of the backward pass has an R (Pearlmutter, 1994):

    R{z_l}     = h_{l-1} V_l + R{h_{l-1}} W_l + c_l        R{h_0} = 0, and J v = R{z_L}
    R{h_l}     = phi'(z_l) * R{z_l}
    R{delta_L} = H_L R{z_L}
    R{delta_l} = (R{delta_{l+1}} W_{l+1}^T + delta_{l+1} V_{l+1}^T) * phi'(z_l)
                 + (delta_{l+1} W_{l+1}^T) * phi''(z_l) * R{z_l}
    R{d W_l}   = R{h_{l-1}}^T delta_l + h_{l-1}^T R{delta_l}        R{d b_l} = sum over the batch of R{delta_l}

The last line is H v. H_L is the loss's Hessian in z_L: 2 / B for squared error, (diag p - p p^T) / B for cross-entropy.
Softmax's Jacobian diag p - p p^T is d p_j / d z_k = p_j ([j = k] - p_k). J^T u is the backward pass from delta_L = u,
and row k of J that from e_k. In the input d x = delta_1 W_1^T, and d z_L / d x = (W_1 diag(phi'(z_1)) W_2 ... W_L)^T.

Without delta_{l+1} V_{l+1}^T, phi'' and R{h_{l-1}}^T delta_l, the backward pass from H_L J v remains. It is the
Gauss-Newton product G v = J^T H_L J v (Schraudolph, 2002). H - G = sum of delta_{L,k} (Hessian of z_{L,k}) over batch
and k. It is 0 for one layer, whose z_L is linear in the parameters. For ReLU phi'' = 0, and H - G is 0 within each
layer: along V_l only, R{h_{l-1}} = 0, and delta_l V_l^T affects only the layers below.

The Fisher matrix F is the mean over the batch of g_y g_y^T, for y drawn from an example's p and g_y = J^T (p - e_y) for
its rows J. The scores p - e_y have mean 0 and covariance diag p - p p^T, so F = G for cross-entropy (Martens, 2020).

An example's own loss has B times the batch's delta, and its gradient in layer l is the outer product h_{l-1}^T delta_l
of norm |h_{l-1}| |delta_l|. So the norm of the whole gradient needs no gradient (Goodfellow, 2015):

    |g_i|^2 = sum_l (|h_{l-1,i}|^2 + 1) |delta_{l,i}|^2             the 1 is the bias's

`by_autodiff` has a function of the same name, signature and result for each.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax import _doors
from mlp_jax._doors import door
from mlp_jax._types import ArrayLike, Input, Layer, Logits, Params, Targets
from mlp_jax.activations import Activation, relu
from mlp_jax.backpropagation import (
    activation_backward,
    as_examples,
    backward,
    gradients_of,
    linear_backward,
    linear_gradient,
)
from mlp_jax.losses import Loss, as_logits_argument, cross_entropy, softmax, softmax_jvp
from mlp_jax.network import Trace, as_network, forward_with_trace, linear

# ---- of the logits


@door(as_network)
def logits_jvp(params: Params, x: Input, tangent: Params, activation: Activation = relu) -> Float[Array, "B C"]:
    """Return J v = R{z_L}, the logits' derivative along a direction of the parameters.

    Args:
      params: the layers, as `init_params` gives them.
      x: examples, (B, D).
      tangent: v, one (V_l, c_l) per layer, finite, with the shapes and dtype of params.
      activation: phi, between the layers.

    Returns:
      J v, (B, C).

    Raises:
      ValueError, TypeError: if `tangent` has another structure, shape or dtype than params; else as `forward`.

    Example:
      >>> params, tangent = (Layer(jnp.ones((2, 2)), jnp.zeros(2)),), (Layer(jnp.eye(2), jnp.ones(2)),)
      >>> print(logits_jvp(params, [[1.0, 2.0]], tangent))  # x V + c
      [[2. 3.]]
    """
    _, trace = forward_with_trace.room(params, x, activation)
    return _forward_tangents(params, trace, tangent)[1][-1]


@door(as_network)
def logits_vjp(params: Params, x: Input, cotangent: Logits, activation: Activation = relu) -> Params:
    """Return J^T u, the gradient of <z_L, u> in the parameters, by the backward pass from delta_L = u.

    The cotangent u must be (B, C), finite, in the parameters' dtype. Other arguments and errors as `logits_jvp`. The
    result has the form of params.

    Example:
      >>> params = (Layer(jnp.ones((2, 2)), jnp.zeros(2)),)
      >>> print(logits_vjp(params, [[1.0, 2.0]], jnp.array([[1.0, 0.0]]))[0].weight)  # x^T u
      [[1. 0.]
       [2. 0.]]
    """
    _, trace = forward_with_trace.room(params, x, activation)
    return gradients_of(trace, backward(params, trace, cotangent + _nan_or_0(x)))


@door(as_network)
def logits_jacobian(params: Params, x: Input, activation: Activation = relu) -> Params:
    """Return J, the derivative of every logit of every example in every parameter.

    The result has the form of params, with leaves (B, C, fan_in, fan_out) and (B, C, fan_out), B C times their memory.
    The products `logits_jvp` and `logits_vjp` do not need it. Arguments and errors as `forward`.

    Example:
      >>> jacobian = logits_jacobian((Layer(jnp.ones((2, 3)), jnp.zeros(3)),), [[5.0, 7.0]])
      >>> print(jacobian[0].weight[0, 1])  # of logit 1: x, in column 1
      [[0. 5. 0.]
       [0. 7. 0.]]
    """

    def of_example(x: Float[Array, " D"]) -> Params:
        logits, trace = forward_with_trace.room(params, x[None], activation)
        deltas = backward(params, trace, jnp.eye(logits.size, dtype=logits.dtype))
        return _example_gradients(trace, [delta + _nan_or_0(x) for delta in deltas])

    return jax.vmap(of_example)(x)


@door(as_network)
def logits_input_jacobian(params: Params, x: Input, activation: Activation = relu) -> Float[Array, "B C D"]:
    """Return d z_L / d x of every example, the transpose of W_1 diag(phi'(z_1)) W_2 ... W_L.

    The product starts at its narrower end: at x if D < C, else at the logits. Arguments and errors as `forward`.

    Example:
      >>> params = (Layer(jnp.array([[2.0], [3.0]]), jnp.zeros(1)),)
      >>> print(logits_input_jacobian(params, [[5.0, 7.0]]))  # W^T
      [[[2. 3.]]]
    """

    def of_example(x: Float[Array, " D"]) -> Float[Array, "C D"]:
        logits, trace = forward_with_trace.room(params, x[None], activation)
        if x.size < logits.size:
            return _input_tangents(params, trace, jnp.eye(x.size, dtype=x.dtype)).T + _nan_or_0(x)
        return _input_gradients(params, trace, jnp.eye(logits.size, dtype=logits.dtype)) + _nan_or_0(x)

    return jax.vmap(of_example)(x)


@door(as_logits_argument)
def softmax_jacobian(logits: Float[ArrayLike, "... C"]) -> Float[Array, "... C C"]:
    """Return d p_j / d z_k = p_j ([j = k] - p_k), the matrix diag p - p p^T (..., C, C), for logits (..., C).

    1 - p_j is the sum of all other p_k, which keeps its digits. Rows sum to 0. Errors as `softmax`.

    Example:
      >>> print(softmax_jacobian([0.0, 0.0]))
      [[ 0.25 -0.25]
       [-0.25  0.25]]
      >>> print(softmax_jacobian([0.0, -50.0])[0, 0])  # p_0 (1 - p_0) would be 0, since p_0 rounds to 1
      1.9287499e-22
    """
    p = softmax.room(logits)
    identity = jnp.eye(p.shape[-1], dtype=p.dtype)
    complement = jnp.matmul(p, 1 - identity, precision="highest")  # sum of all other p_k
    is_diagonal = jnp.broadcast_to(identity == 1, (*p.shape, p.shape[-1]))
    return p[..., :, None] * jnp.where(is_diagonal, complement[..., :, None], -p[..., None, :])


# ---- of the loss


@door(as_examples)
def input_gradient(
    params: Params, x: Input, targets: Targets, activation: Activation = relu, loss: Loss = cross_entropy
) -> Float[Array, "B D"]:
    """Return d loss / d x = delta_1 W_1^T, (B, D).

    The loss is the mean over the batch, so B times row i is the gradient of example i's own loss. Arguments and errors
    as `backprop`.

    Example:
      >>> params = (Layer(jnp.array([[1.0, -1.0]]), jnp.zeros(2)),)
      >>> print(input_gradient(params, [[0.0]], jnp.array([0])))  # (p - one_hot(y)) W^T
      [[-1.]]
    """
    logits, trace = forward_with_trace.room(params, x, activation)
    return _input_gradients(params, trace, loss.logits_gradient(logits, targets))


@door(as_examples)
def per_example_gradients(
    params: Params, x: Input, targets: Targets, activation: Activation = relu, loss: Loss = cross_entropy
) -> Params:
    """Return the gradient of each example's own loss; the mean over the batch is `backprop`'s.

    The result has the form of params, with leaves (B, fan_in, fan_out) and (B, fan_out), B times their memory.
    `per_example_gradient_norms` does not need it. Arguments and errors as `backprop`.

    Example:
      >>> params = (Layer(jnp.ones((2, 3)), jnp.zeros(3)),)
      >>> per_example_gradients(params, [[5.0, 7.0]] * 4, jnp.array([0, 1, 2, 0]))[0].weight.shape
      (4, 2, 3)
    """
    logits, trace = forward_with_trace.room(params, x, activation)
    return _example_gradients(trace, backward(params, trace, x.shape[0] * loss.logits_gradient(logits, targets)))


@door(as_examples)
def per_example_gradient_norms(
    params: Params, x: Input, targets: Targets, activation: Activation = relu, loss: Loss = cross_entropy
) -> Float[Array, " B"]:
    """Return |g_i| (B,), the length of each example's gradient, without forming it (Goodfellow, 2015).

    It is the square root of sum_l (|h_{l-1,i}|^2 + 1) |delta_{l,i}|^2, over weights and biases of all layers. It costs
    one `backprop` without h^T delta. Arguments and errors as `backprop`.

    Example:
      >>> params = (Layer(jnp.zeros((2, 2)), jnp.zeros(2)),)
      >>> norms = per_example_gradient_norms(params, [[2.0, 2.0]], jnp.array([0]))
      >>> print(f"{norms[0] ** 2:.3f}")  # (|x|^2 + 1) |p - one_hot(y)|^2 = (8 + 1) / 2
      4.500
    """
    logits, trace = forward_with_trace.room(params, x, activation)
    deltas = backward(params, trace, x.shape[0] * loss.logits_gradient(logits, targets))
    scale = jnp.max(jnp.abs(jnp.concatenate(deltas, axis=1)), axis=1, keepdims=True)
    scale = jnp.where(scale == 0, 1, scale)  # the square of a delta of 1e-23 would be 0 in float32
    squares = sum((_squares(h) + 1) * _squares(delta / scale) for h, delta in zip(trace.h, deltas, strict=True))
    return scale[:, 0] * jnp.sqrt(squares)


# ---- curvature


@door(as_examples)
def hessian_vector_product(
    params: Params,
    x: Input,
    targets: Targets,
    tangent: Params,
    activation: Activation = relu,
    loss: Loss = cross_entropy,
) -> Params:
    """Return H v, the gradient's derivative along a direction, by R of every line of `backprop` (Pearlmutter, 1994).

    It costs 1.5 to 2.7 gradients. The first layer takes three matrix products (`backprop` two), each other layer eight
    (`backprop` three).

    The tangent v is as in `logits_jvp`, and other arguments and errors are as in `backprop`. The activation must have a
    `second_derivative`, and the loss a `logits_hessian_product`. The result has the form of params.

    Example:
      >>> params = (Layer(jnp.zeros((1, 2)), jnp.zeros(2)),)
      >>> tangent = (Layer(jnp.array([[1.0, 0.0]]), jnp.zeros(2)),)
      >>> print(hessian_vector_product(params, [[2.0]], jnp.array([0]), tangent)[0].weight)
      [[ 1. -1.]]
    """
    second_derivative = _doors.as_given("activation", activation, "second_derivative")
    H_L = _doors.as_given("loss", loss, "logits_hessian_product")
    logits, trace = forward_with_trace.room(params, x, activation)
    R_h, R_z = _forward_tangents(params, trace, tangent)
    delta = loss.logits_gradient(logits, targets)
    R_delta = H_L(logits, targets, R_z[-1])
    products: list[Layer] = []
    for l in reversed(range(len(params) - 1)):  # entry l is layer l + 1's
        W, V = params[l + 1].weight, tangent[l + 1].weight
        products.insert(0, Layer(R_h[l].T @ delta + trace.h[l + 1].T @ R_delta, R_delta.sum(axis=0)))
        dh, R_dh = linear_backward(W, delta), linear_backward(W, R_delta) + linear_backward(V, delta)
        delta = activation_backward(trace.derivative[l], dh)
        R_delta = activation_backward(trace.derivative[l], R_dh)
        if second_derivative is not jnp.zeros_like:
            R_delta += activation_backward(second_derivative(trace.z[l]) * R_z[l], dh)
    return (linear_gradient(trace.h[0], R_delta), *products)


@door(as_examples)
def gauss_newton_vector_product(
    params: Params,
    x: Input,
    targets: Targets,
    tangent: Params,
    activation: Activation = relu,
    loss: Loss = cross_entropy,
) -> Params:
    """Return G v = J^T H_L J v, by forward R, then backward (Schraudolph, 2002).

    G is positive semidefinite for a convex loss and needs no `second_derivative`. Else as `hessian_vector_product`.

    Example:
      >>> params = (Layer(jnp.zeros((1, 2)), jnp.zeros(2)),)  # one layer: G = H
      >>> tangent = (Layer(jnp.array([[1.0, 0.0]]), jnp.zeros(2)),)
      >>> print(gauss_newton_vector_product(params, [[2.0]], jnp.array([0]), tangent)[0].weight)
      [[ 1. -1.]]
    """
    H_L = _doors.as_given("loss", loss, "logits_hessian_product")
    logits, trace = forward_with_trace.room(params, x, activation)
    _, R_z = _forward_tangents(params, trace, tangent)
    return gradients_of(trace, backward(params, trace, H_L(logits, targets, R_z[-1])))


@door(as_network)
def fisher_vector_product(params: Params, x: Input, tangent: Params, activation: Activation = relu) -> Params:
    """Return F v, with F the batch's mean of E[g_y g_y^T] for classes y drawn from softmax's p (Amari, 1998).

    F does not use the data's labels, unlike the empirical Fisher matrix (Kunstner, Hennig & Balles, 2019).
    F = G for cross_entropy. For squared_error G is the F of values of variance 1/2 around z_L.

    Arguments and errors as `logits_jvp`. The result has the form of params.

    Example:
      >>> params = (Layer(jnp.zeros((1, 2)), jnp.zeros(2)),)
      >>> tangent = (Layer(jnp.array([[1.0, 0.0]]), jnp.zeros(2)),)
      >>> print(fisher_vector_product(params, [[2.0]], tangent)[0].weight)
      [[ 1. -1.]]
    """
    logits, trace = forward_with_trace.room(params, x, activation)
    _, R_z = _forward_tangents(params, trace, tangent)
    return gradients_of(trace, backward(params, trace, softmax_jvp.room(logits, R_z[-1]) / x.shape[0]))


# ---- shared passes


def _forward_tangents(params: Params, trace: Trace, tangent: Params) -> tuple[list[Array], list[Array]]:
    """Return (R{h_1}, ..., R{h_{L-1}}) and (R{z_1}, ..., R{z_L})."""
    R_h: list[Array] = []
    R_z = [linear(tangent[0], trace.h[0])]
    for (W, _), direction, h, derivative in zip(params[1:], tangent[1:], trace.h[1:], trace.derivative, strict=True):
        R_h.append(derivative * R_z[-1])
        R_z.append(linear(direction, h) + R_h[-1] @ W)
    return R_h, R_z


def _example_gradients(trace: Trace, deltas: Sequence[Float[Array, "rows _"]]) -> Params:
    """Return `gradients_of` without the sum over the batch, of B examples, or of one for several delta_L."""
    return tuple(Layer(h[:, :, None] * d[:, None, :], d) for h, d in zip(trace.h, deltas, strict=True))


def _input_gradients(params: Params, trace: Trace, delta: Float[Array, "rows C"]) -> Float[Array, "rows D"]:
    """Return every d x = delta_1 W_1^T, of B examples, or of one for several delta_L."""
    return linear_backward(params[0].weight, backward(params, trace, delta)[0])


def _input_tangents(params: Params, trace: Trace, R_x: Float[Array, "rows D"]) -> Float[Array, "rows C"]:
    """Return R{z_L} along several directions of one example's x."""
    R_z = R_x @ params[0].weight
    for (W, _), derivative in zip(params[1:], trace.derivative, strict=True):
        R_z = (derivative * R_z) @ W
    return R_z


def _nan_or_0(x: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Return NaN if x contains NaN, else 0. ReLU's derivative would hide it: relu'(NaN) = 0."""
    return jnp.sum(0 * x)


def _squares(rows: Float[Array, "B d"]) -> Float[Array, " B"]:
    """Return the squared length of every row."""
    return jnp.sum(rows**2, axis=1)
