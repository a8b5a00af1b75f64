"""mlp_jax: one network, many at once, and what its cost grows with."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import mlp_jax
from experiments.benchmark.problems import Problem, units_of_training
from experiments.benchmark.results import Missing
from experiments.benchmark.worker import Task
from experiments.benchmark.workloads import Workload

KEY = jax.random.key(0)


def training(problem: Problem, workload: Workload, gradient: str = "backprop", epochs: int = 1) -> Task:
    """Pass over the examples by `mlp_jax.train`, with full batches as many times as there are steps."""
    layers, data = as_params(problem), (jnp.asarray(problem.x), jnp.asarray(problem.labels))
    settings: dict[str, Any] = dict(
        optimizer=optax.adam(1e-3),
        epochs=workload.steps if workload.full_batch else epochs,
        batch_size=workload.batch,
        activation=mlp_jax.activations.ACTIVATIONS[workload.activation],
        gradient=getattr(mlp_jax, gradient),
    )

    def run(order: Any) -> float:
        examples = data if order is None else (data[0][order], data[1][order])
        result = mlp_jax.train(KEY, layers, examples, shuffle=order is None, **settings)
        return float(np.mean(jax.block_until_ready(result).history.train_loss))

    return Task(run, units_of_training(workload), facts())


def many(
    problem: Problem, workload: Workload, one_device: bool = False, nets: int | None = None, whole: bool = False
) -> Task:
    """Train many networks, one per seed, by `mlp_jax.sweep`: seconds per step of one network, or in total."""
    sweep = getattr(mlp_jax, "sweep", None)
    if sweep is None:
        raise Missing("this version of mlp_jax has no sweep")
    if one_device and jax.default_backend() != "cpu":
        raise Missing("there is one device only")
    nets = nets or workload.nets
    data = jnp.asarray(problem.x), jnp.asarray(problem.labels)

    def run(order: Any) -> float:
        result = sweep(
            {"seed": range(nets)},
            data,
            optimizer=optax.adam,
            hyperparameters={"learning_rate": 1e-3},
            epochs=workload.steps,
            batch_size=workload.batch,
            hidden=workload.sizes[1:-1],
            activation=mlp_jax.activations.ACTIVATIONS[workload.activation],
        )
        return float(np.mean(result.history.train_loss))

    units = 1 if whole else nets * workload.steps
    return Task(run, units, facts(devices=len(jax.devices())), comparable=not whole)


def one_by_one(problem: Problem, workload: Workload, nets: int, steps: int) -> Task:
    """Train a sample of the networks in a Python loop, each for so long that starting counts little."""
    data = jnp.asarray(problem.x), jnp.asarray(problem.labels)
    layers = [
        tuple(mlp_jax.Layer(jnp.asarray(w[i]), jnp.asarray(b[i])) for w, b in problem.params) for i in range(nets)
    ]
    activation, optimizer = mlp_jax.activations.ACTIVATIONS[workload.activation], optax.adam(1e-3)

    def run(order: Any) -> float:
        losses = []
        for params in layers:
            settings: dict[str, Any] = dict(optimizer=optimizer, activation=activation)
            result = mlp_jax.train(KEY, params, data, epochs=steps, batch_size=workload.batch, **settings)
            losses.append(float(jax.block_until_ready(result).history.train_loss[-1]))
        return float(np.mean(losses))

    return Task(run, nets * steps, facts(), comparable=False)


def compilation(problem: Problem, workload: Workload, sizes: tuple[int, ...]) -> Task:
    """Time how much longer the first call of `train` takes than the second, without a cache on disk."""
    layers, optimizer = mlp_jax.init_params(KEY, sizes), optax.adam(1e-3)
    x, labels = jnp.zeros((64, sizes[0])), jnp.zeros(64, int)

    def train() -> float:
        start = time.perf_counter()
        jax.block_until_ready(mlp_jax.train(KEY, layers, (x, labels), optimizer=optimizer, epochs=2, batch_size=32))
        return time.perf_counter() - start

    def value() -> float:
        first, second = train(), train()
        return first - second

    return Task(lambda order: 0.0, facts=facts(), value=value)


def of_size(problem: Problem, workload: Workload, sizes: tuple[int, ...]) -> Task:
    """Train another network on the same examples: seconds per example."""
    task = training(problem._replace(params=_drawn(sizes)), workload)
    return task._replace(units=workload.examples, comparable=False)


def of_length(problem: Problem, workload: Workload, epochs: int) -> Task:
    """Train for several epochs: seconds in total."""
    return training(problem, workload, epochs=epochs)._replace(units=1, comparable=False)


def as_params(problem: Problem, net: Any = ...) -> mlp_jax.network.Params:
    """Return the problem's initial parameters, or those of one of its networks."""
    return tuple(mlp_jax.Layer(jnp.asarray(weight[net]), jnp.asarray(bias[net])) for weight, bias in problem.params)


def facts(**others: Any) -> dict[str, Any]:
    """Return the device, and others."""
    return {"device": jax.devices()[0].device_kind} | others


def _drawn(sizes: tuple[int, ...]) -> list[tuple[Any, Any]]:
    return [(np.asarray(layer.weight), np.asarray(layer.bias)) for layer in mlp_jax.init_params(KEY, sizes)]
