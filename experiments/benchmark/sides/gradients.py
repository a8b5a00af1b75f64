"""The hand-derived gradient beside autodiff's, alone and in training; and the accurate cross-entropy beside optax's."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import mlp_jax
from experiments.benchmark.problems import Problem
from experiments.benchmark.sides import ours
from experiments.benchmark.worker import Task
from experiments.benchmark.workloads import BY_GRAD, BY_HAND, OPTAX, Workload


def alone(problem: Problem, workload: Workload, name: str) -> Task:
    """Loss and gradient, jitted, called as many times as there are steps; and the memory that the program takes."""
    gradient = partial(getattr(mlp_jax, name), activation=mlp_jax.ACTIVATIONS[workload.activation])
    arguments = ours.as_params(problem), *_first_batch(problem, workload)
    return _called(gradient, arguments, workload.steps)


def in_training(problem: Problem, workload: Workload, name: str) -> Task:
    """The same steps of training by `train`; and the memory of the program of one step with Adam."""
    activation, adam, params = mlp_jax.ACTIVATIONS[workload.activation], optax.adam(1e-3), ours.as_params(problem)

    def step(params: Any, state: Any, x: Any, labels: Any) -> Any:
        loss, gradient = getattr(mlp_jax, name)(params, x, labels, activation=activation)
        updates, state = adam.update(gradient, state)
        return optax.apply_updates(params, updates), state, loss

    program = jax.jit(step, donate_argnums=(0, 1))
    memory = temporary(program, params, adam.init(params), *_first_batch(problem, workload))
    task = ours.training(problem, workload, gradient=name)
    return task._replace(units=workload.steps, facts=task.facts | {"memory": memory})


def of_loss(problem: Problem, workload: Workload, name: str) -> Task:
    """Value and gradient of cross-entropy in the logits, jitted."""
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(workload.batch, workload.sizes[-1])), jnp.float32)
    labels = jnp.asarray(problem.labels)

    def by_hand(logits: Any, labels: Any) -> Any:
        return mlp_jax.cross_entropy.value_and_logits_gradient(logits, labels)

    def of_optax(logits: Any, labels: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    functions: dict[str, Callable[..., Any]] = {
        BY_HAND: by_hand,
        BY_GRAD: jax.value_and_grad(mlp_jax.cross_entropy),
        OPTAX: jax.value_and_grad(of_optax),
    }
    return _called(functions[name], (logits, labels), workload.steps)


def temporary(program: Any, *arguments: Any) -> int:
    """Return the bytes that a compiled program takes beside its arguments and results."""
    return int(program.lower(*arguments).compile().memory_analysis().temp_size_in_bytes)


def _called(function: Callable[..., Any], arguments: Any, times: int) -> Task:
    program = jax.jit(function)

    def run(order: Any) -> float:
        for _ in range(times):
            result = program(*arguments)
        return float(jax.block_until_ready(result)[0])

    return Task(run, times, ours.facts(memory=temporary(program, *arguments)))


def _first_batch(problem: Problem, workload: Workload) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(problem.x[: workload.batch]), jnp.asarray(problem.labels[: workload.batch])
