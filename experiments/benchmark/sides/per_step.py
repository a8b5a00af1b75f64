"""The usual loop of JAX: a jitted step, called from Python for every batch, with optax, equinox or flax."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmark.problems import Problem, units_of_training
from experiments.benchmark.sides.ours import facts
from experiments.benchmark.worker import Task
from experiments.benchmark.workloads import Workload

ADAM = optax.adam(1e-3)
PHI: dict[str, Callable[[Any], Any]] = {"relu": jax.nn.relu, "tanh": jnp.tanh}


def with_optax(problem: Problem, workload: Workload) -> Task:
    """Train parameters in a list by `jax.value_and_grad`; the step takes the batch and donates its buffers."""
    x, labels = jnp.asarray(problem.x), jnp.asarray(problem.labels)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, x: Any, labels: Any, batch: Any) -> Any:
        x, labels = (x, labels) if batch is None else (x[batch], labels[batch])
        return _step(PHI[workload.activation], params, state, x, labels)

    def run(order: Any) -> float:
        params = jax.tree.map(jnp.array, problem.params)
        state = ADAM.init(params)
        losses = []
        for batch in _batches(workload, order):
            params, state, loss = step(params, state, x, labels, batch)
            losses.append(loss)
        return float(np.mean(jax.device_get(losses)))

    return Task(run, units_of_training(workload), facts())


def with_equinox(problem: Problem, workload: Workload) -> Task:
    """Train a module by `eqx.filter_value_and_grad` and `eqx.filter_jit`, on batches from a loader of NumPy arrays."""
    import equinox as eqx

    phi = PHI[workload.activation]

    class Network(eqx.Module):  # type: ignore[misc,unused-ignore]  # its package may not be there
        layers: list[Any]

        def __call__(self, h: Any) -> Any:
            for layer in self.layers[:-1]:
                h = phi(layer(h))
            return self.layers[-1](h)

    def built() -> Any:
        layers = []
        for weight, bias in problem.params:
            layer = eqx.nn.Linear(*weight.shape, key=jax.random.key(0))
            values = jnp.asarray(weight.T), jnp.asarray(bias)
            layers.append(eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, values))
        return Network(layers)

    def loss_of(model: Any, x: Any, labels: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(model)(x), labels).mean()

    def step(model: Any, state: Any, x: Any, labels: Any) -> Any:
        loss, gradient = eqx.filter_value_and_grad(loss_of)(model, x, labels)
        updates, state = ADAM.update(gradient, state)
        return eqx.apply_updates(model, updates), state, loss

    initial, compiled = built(), eqx.filter_jit(step)

    def run(order: Any) -> float:
        model = initial
        state = ADAM.init(eqx.filter(model, eqx.is_array))
        losses = []
        for x, labels in _arrays(problem, workload, order):
            model, state, loss = compiled(model, state, x, labels)
            losses.append(loss)
        return float(np.mean(jax.device_get(losses)))

    return Task(run, units_of_training(workload), facts())


def with_flax(problem: Problem, workload: Workload) -> Task:
    """Train a module by `nnx.Optimizer` and `nnx.jit`, on batches from a loader of NumPy arrays."""
    from flax import nnx

    phi = PHI[workload.activation]

    class Network(nnx.Module):  # type: ignore[misc,unused-ignore]  # its package may not be there
        def __init__(self) -> None:
            shapes = (weight.shape for weight, _ in problem.params)
            self.layers = nnx.List([nnx.Linear(*shape, rngs=nnx.Rngs(0)) for shape in shapes])

        def __call__(self, h: Any) -> Any:
            for layer in list(self.layers)[:-1]:
                h = phi(layer(h))
            return self.layers[-1](h)

    def step(model: Any, optimizer: Any, x: Any, labels: Any) -> Any:
        def loss_of(model: Any) -> Any:
            return optax.softmax_cross_entropy_with_integer_labels(model(x), labels).mean()

        loss, gradient = nnx.value_and_grad(loss_of)(model)
        optimizer.update(model, gradient)
        return loss

    compiled = nnx.jit(step)

    def run(order: Any) -> float:
        model: Any = Network()
        for layer, (weight, bias) in zip(model.layers, problem.params, strict=True):
            layer.kernel[...], layer.bias[...] = jnp.asarray(weight), jnp.asarray(bias)
        optimizer = nnx.Optimizer(model, ADAM, wrt=nnx.Param)
        losses = [compiled(model, optimizer, x, labels) for x, labels in _arrays(problem, workload, order)]
        return float(np.mean(jax.device_get(losses)))

    return Task(run, units_of_training(workload), facts())


def many(problem: Problem, workload: Workload) -> Task:
    """Train many networks by `jax.vmap` of the jitted step, called from Python for every step, on one device."""
    x, labels = jnp.asarray(problem.x), jnp.asarray(problem.labels)

    step = partial(_step, PHI[workload.activation])
    vmapped = jax.jit(jax.vmap(step, in_axes=(0, 0, None, None)), donate_argnums=(0, 1))
    initial = jax.jit(jax.vmap(ADAM.init))

    def run(order: Any) -> float:
        params = jax.tree.map(jnp.array, problem.params)
        state = initial(params)
        losses = []
        for _ in range(workload.steps):
            params, state, loss = vmapped(params, state, x, labels)
            losses.append(loss)
        return float(np.mean(jax.device_get(losses)))

    return Task(run, workload.nets * workload.steps, facts())


def _step(phi: Callable[[Any], Any], params: Any, state: Any, x: Any, labels: Any) -> Any:
    loss, gradient = jax.value_and_grad(_loss)(params, x, labels, phi)
    updates, state = ADAM.update(gradient, state)
    return optax.apply_updates(params, updates), state, loss


def _loss(params: Any, x: Any, labels: Any, phi: Callable[[Any], Any]) -> Any:
    h = x
    for weight, bias in params[:-1]:
        h = phi(h @ weight + bias[None, :])
    weight, bias = params[-1]
    return optax.softmax_cross_entropy_with_integer_labels(h @ weight + bias[None, :], labels).mean()


def _batches(workload: Workload, order: Any) -> Iterator[Any]:
    """Yield the indices of every step's examples; None for all of them."""
    if workload.full_batch:
        yield from (None for _ in range(workload.steps))
        return
    order = np.random.default_rng().permutation(workload.examples) if order is None else order
    yield from order.reshape(workload.steps, workload.batch)


def _arrays(problem: Problem, workload: Workload, order: Any) -> Iterator[Any]:
    """Yield every step's examples."""
    if workload.full_batch:
        data = jnp.asarray(problem.x), jnp.asarray(problem.labels)
        yield from (data for _ in range(workload.steps))
        return
    for batch in _batches(workload, order):
        yield problem.x[batch], problem.labels[batch]
