"""What `derivatives` derives by hand, by jax's transformations of the plain forward pass, softmax and loss.

Each function has the name, signature and result of its twin there, so that either can be used and each be checked
against the other: no hand-written rule of ours is inside. The errors are the same, but for records that lack a
second derivative: here none is needed. Under jit NaN in x can vanish here in ReLU's derivative, which is 0 for it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax import _doors, backpropagation, network
from mlp_jax._doors import ArrayLike
from mlp_jax.activations import Activation, relu
from mlp_jax.losses import Loss, cross_entropy, softmax
from mlp_jax.network import Params, forward


def logits_jvp(params: Params, x: ArrayLike, tangent: Params, activation: Activation = relu) -> Float[Array, "B C"]:
    """J v by `jax.jvp`."""
    params, x = network.validate(params, x, activation)
    tangent = network.validate_tangent(tangent, params)
    return jax.jvp(lambda params: forward(params, x, activation), (params,), (tangent,))[1]


def logits_vjp(params: Params, x: ArrayLike, cotangent: ArrayLike, activation: Activation = relu) -> Params:
    """J^T u by `jax.vjp`."""
    params, x = network.validate(params, x, activation)
    logits, vjp = jax.vjp(lambda params: forward(params, x, activation), params)
    return vjp(_doors.as_direction("cotangent", cotangent, "the logits", logits))[0]


def logits_jacobian(params: Params, x: ArrayLike, activation: Activation = relu) -> Params:
    """J by `jax.jacrev`, example by example."""
    params, x = network.validate(params, x, activation)
    return jax.vmap(jax.jacrev(lambda params, x: forward(params, x[None], activation)[0]), (None, 0))(params, x)


def logits_input_jacobian(params: Params, x: ArrayLike, activation: Activation = relu) -> Float[Array, "B C D"]:
    """The Jacobian in x by `jax.jacrev`, or by `jax.jacfwd` where D < C, example by example."""
    params, x = network.validate(params, x, activation)
    jacobian = jax.jacrev if params[-1].bias.shape[0] <= x.shape[1] else jax.jacfwd
    return jax.vmap(jacobian(lambda x: forward(params, x[None], activation)[0]))(x)


def softmax_jacobian(logits: ArrayLike) -> Float[Array, "... C C"]:
    """The Jacobian of softmax by `jax.jacrev`, row by row."""
    z = _doors.as_logits(logits)
    rows = z.reshape(-1, z.shape[-1])
    return jax.vmap(jax.jacrev(softmax))(rows).reshape(*z.shape, z.shape[-1])


def input_gradient(
    params: Params, x: ArrayLike, targets: ArrayLike, activation: Activation = relu, loss: Loss = cross_entropy
) -> Float[Array, "B D"]:
    """The gradient in x by `jax.grad`."""
    params, x, targets = backpropagation.validate(params, x, targets, activation, loss)
    return jax.grad(lambda x: loss(forward(params, x, activation), targets))(x)


def per_example_gradients(
    params: Params, x: ArrayLike, targets: ArrayLike, activation: Activation = relu, loss: Loss = cross_entropy
) -> Params:
    """Gradients of batches of one, by `jax.grad` under `jax.vmap`."""
    params, x, targets = backpropagation.validate(params, x, targets, activation, loss)
    loss(jnp.zeros((x.shape[0], params[-1].bias.shape[0]), x.dtype), targets)  # checks targets: vmap hides their values

    def of_one(params: Params, x: Array, target: Array) -> Array:
        return loss(forward(params, x[None], activation), target[None])

    return jax.vmap(jax.grad(of_one), (None, 0, 0))(params, x, targets)


def per_example_gradient_norms(
    params: Params, x: ArrayLike, targets: ArrayLike, activation: Activation = relu, loss: Loss = cross_entropy
) -> Float[Array, " B"]:
    """Norms of the gradients that `jax.vmap` of `jax.grad` forms."""
    gradients = per_example_gradients(params, x, targets, activation, loss)
    return jnp.sqrt(sum(jnp.sum(leaf**2, axis=range(1, leaf.ndim)) for leaf in jax.tree.leaves(gradients)))


def hessian_vector_product(
    params: Params,
    x: ArrayLike,
    targets: ArrayLike,
    tangent: Params,
    activation: Activation = relu,
    loss: Loss = cross_entropy,
) -> Params:
    """H v by `jax.jvp` of `jax.grad`: forward over reverse."""
    params, x, targets = backpropagation.validate(params, x, targets, activation, loss)
    tangent = network.validate_tangent(tangent, params)
    gradient = jax.grad(lambda params: loss(forward(params, x, activation), targets))
    return jax.jvp(gradient, (params,), (tangent,))[1]


def gauss_newton_vector_product(
    params: Params,
    x: ArrayLike,
    targets: ArrayLike,
    tangent: Params,
    activation: Activation = relu,
    loss: Loss = cross_entropy,
) -> Params:
    """G v by `jax.jvp` of the logits, `jax.jvp` of the loss's `jax.grad` in them, and `jax.vjp` of the logits."""
    params, x, targets = backpropagation.validate(params, x, targets, activation, loss)
    tangent = network.validate_tangent(tangent, params)
    logits, Jv = jax.jvp(lambda params: forward(params, x, activation), (params,), (tangent,))
    _, HJv = jax.jvp(jax.grad(lambda z: loss(z, targets)), (logits,), (Jv,))
    _, vjp = jax.vjp(lambda params: forward(params, x, activation), params)
    return vjp(HJv)[0]


def fisher_vector_product(params: Params, x: ArrayLike, tangent: Params, activation: Activation = relu) -> Params:
    """F v from its definition: the scores of all classes by `jax.grad`, each weighted with its probability."""
    params, x = network.validate(params, x, activation)
    tangent = network.validate_tangent(tangent, params)
    logits, Jv = jax.jvp(lambda params: forward(params, x, activation), (params,), (tangent,))
    batch, classes = logits.shape

    def of_label(y: Array) -> Array:
        scores = batch * jax.grad(cross_entropy)(logits, jnp.full(batch, y))
        return softmax(logits)[:, y, None] * scores * jnp.sum(scores * Jv, axis=1, keepdims=True)

    _, vjp = jax.vjp(lambda params: forward(params, x, activation), params)
    return vjp(jnp.sum(jax.vmap(of_label)(jnp.arange(classes)), axis=0) / batch)[0]
