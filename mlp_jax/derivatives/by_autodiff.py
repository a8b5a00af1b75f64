"""The derivatives of `derivatives`, by jax's transformations of the plain forward pass, softmax and loss.

Each function has the name, signature and result of its twin by hand, so either can be used. No hand-written rule of
ours is inside, so each can be checked against the other. The errors are the same, except that records need no second
derivative here. Under jit NaN in x can vanish here in ReLU's derivative, which is 0 for NaN.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax._doors import door
from mlp_jax._types import ArrayLike, Input, Logits, Params, Targets
from mlp_jax.activations import Activation, relu
from mlp_jax.backpropagation import as_examples
from mlp_jax.losses import Loss, as_logits_argument, cross_entropy, softmax
from mlp_jax.network import as_network, forward


@door(as_network)
def logits_jvp(params: Params, x: Input, tangent: Params, activation: Activation = relu) -> Float[Array, "B C"]:
    """Return J v by `jax.jvp`."""
    return jax.jvp(lambda params: forward.room(params, x, activation), (params,), (tangent,))[1]


@door(as_network)
def logits_vjp(params: Params, x: Input, cotangent: Logits, activation: Activation = relu) -> Params:
    """Return J^T u by `jax.vjp`."""
    _, vjp = jax.vjp(lambda params: forward.room(params, x, activation), params)
    return vjp(cotangent)[0]


@door(as_network)
def logits_jacobian(params: Params, x: Input, activation: Activation = relu) -> Params:
    """Return J by `jax.jacrev`, example by example."""
    return jax.vmap(jax.jacrev(lambda params, x: forward.room(params, x[None], activation)[0]), (None, 0))(params, x)


@door(as_network)
def logits_input_jacobian(params: Params, x: Input, activation: Activation = relu) -> Float[Array, "B C D"]:
    """Return the Jacobian in x by `jax.jacrev`, or by `jax.jacfwd` if D < C, example by example."""
    jacobian = jax.jacrev if params[-1].bias.shape[0] <= x.shape[1] else jax.jacfwd
    return jax.vmap(jacobian(lambda x: forward.room(params, x[None], activation)[0]))(x)


@door(as_logits_argument)
def softmax_jacobian(logits: Float[ArrayLike, "... C"]) -> Float[Array, "... C C"]:
    """Return the Jacobian of softmax by `jax.jacrev`, row by row."""
    rows = logits.reshape(-1, logits.shape[-1])
    return jax.vmap(jax.jacrev(softmax.room))(rows).reshape(*logits.shape, logits.shape[-1])


@door(as_examples)
def input_gradient(
    params: Params, x: Input, targets: Targets, activation: Activation = relu, loss: Loss = cross_entropy
) -> Float[Array, "B D"]:
    """Return the gradient in x by `jax.grad`."""
    return jax.grad(lambda x: loss.value(forward.room(params, x, activation), targets))(x)


@door(as_examples)
def per_example_gradients(
    params: Params, x: Input, targets: Targets, activation: Activation = relu, loss: Loss = cross_entropy
) -> Params:
    """Return gradients of batches of one by `jax.grad` under `jax.vmap`."""

    def of_one(params: Params, x: Array, target: Array) -> Array:
        return loss.value(forward.room(params, x[None], activation), target[None])

    return jax.vmap(jax.grad(of_one), (None, 0, 0))(params, x, targets)


@door(as_examples)
def per_example_gradient_norms(
    params: Params, x: Input, targets: Targets, activation: Activation = relu, loss: Loss = cross_entropy
) -> Float[Array, " B"]:
    """Return norms of the gradients that `jax.vmap` of `jax.grad` forms."""
    gradients = per_example_gradients.room(params, x, targets, activation, loss)
    return jnp.sqrt(sum(jnp.sum(leaf**2, axis=range(1, leaf.ndim)) for leaf in jax.tree.leaves(gradients)))


@door(as_examples)
def hessian_vector_product(
    params: Params,
    x: Input,
    targets: Targets,
    tangent: Params,
    activation: Activation = relu,
    loss: Loss = cross_entropy,
) -> Params:
    """Return H v by `jax.jvp` of `jax.grad`, forward over reverse."""
    gradient = jax.grad(lambda params: loss.value(forward.room(params, x, activation), targets))
    return jax.jvp(gradient, (params,), (tangent,))[1]


@door(as_examples)
def gauss_newton_vector_product(
    params: Params,
    x: Input,
    targets: Targets,
    tangent: Params,
    activation: Activation = relu,
    loss: Loss = cross_entropy,
) -> Params:
    """Return G v by `jax.jvp` of the logits, `jax.jvp` of the loss's `jax.grad`, and `jax.vjp` of the logits."""
    logits, Jv = jax.jvp(lambda params: forward.room(params, x, activation), (params,), (tangent,))
    _, HJv = jax.jvp(jax.grad(lambda z: loss.value(z, targets)), (logits,), (Jv,))
    _, vjp = jax.vjp(lambda params: forward.room(params, x, activation), params)
    return vjp(HJv)[0]


@door(as_network)
def fisher_vector_product(params: Params, x: Input, tangent: Params, activation: Activation = relu) -> Params:
    """Return F v by its definition: the scores of all classes by `jax.grad`, each weighted with its probability."""
    logits, Jv = jax.jvp(lambda params: forward.room(params, x, activation), (params,), (tangent,))
    batch, classes = logits.shape

    def of_label(y: Array) -> Array:
        scores = batch * jax.grad(cross_entropy.value)(logits, jnp.full(batch, y))
        return softmax.room(logits)[:, y, None] * scores * jnp.sum(scores * Jv, axis=1, keepdims=True)

    _, vjp = jax.vjp(lambda params: forward.room(params, x, activation), params)
    return vjp(jnp.sum(jax.vmap(of_label)(jnp.arange(classes)), axis=0) / batch)[0]
