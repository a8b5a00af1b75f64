"""By hand next to autodiff: the gradient, outside training and in it, other derivatives, and cross-entropy."""

import inspect
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
from experiments.benchmark.workloads import AUTODIFF, BACKPROP, BY_GRAD, BY_HAND, OPTAX, Workload
from mlp_jax import derivatives
from mlp_jax.derivatives import by_autodiff

DERIVATIVES = {BY_HAND: derivatives, AUTODIFF: by_autodiff}


def alone(problem: Problem, workload: Workload, name: str) -> Task:
    """Call jitted loss and gradient as many times as there are steps."""
    gradient = partial(getattr(mlp_jax, name), activation=mlp_jax.activations.ACTIVATIONS[workload.activation])
    arguments = ours.as_params(problem), *_first_batch(problem, workload)
    return _called(gradient, arguments, workload.steps)


def one_gradient(problem: Problem, workload: Workload) -> Task:
    """Call an ordinary gradient, for its time only: its result is another one."""
    return alone(problem, workload, BACKPROP)._replace(comparable=False)


def derivative(problem: Problem, workload: Workload, name: str, by: str, calls: int | None = None) -> Task:
    """Call a jitted derivative by hand or by autodiff, with ReLU and along directions that both sides draw alike."""
    function = getattr(DERIVATIVES[by], name)
    params, (x, labels) = ours.as_params(problem), _first_batch(problem, workload)
    leaves, structure = jax.tree.flatten(params)
    like_logits, *directions = _drawn((workload.batch, workload.sizes[-1]), *(leaf.shape for leaf in leaves))
    given = {
        "params": params,
        "x": x,
        "targets": labels,
        "tangent": jax.tree.unflatten(structure, directions),
        "cotangent": like_logits,
        "logits": like_logits,
    }
    arguments = [given[argument] for argument in inspect.signature(function).parameters if argument in given]
    return _called(function, arguments, calls or workload.steps)


def in_training(problem: Problem, workload: Workload, name: str) -> Task:
    """Train by `train`. The facts are those of the program of one step with Adam."""
    activation, adam, params = (
        mlp_jax.activations.ACTIVATIONS[workload.activation],
        optax.adam(1e-3),
        ours.as_params(problem),
    )

    def step(params: Any, state: Any, x: Any, labels: Any) -> Any:
        loss, gradient = getattr(mlp_jax, name)(params, x, labels, activation=activation)
        updates, state = adam.update(gradient, state)
        return optax.apply_updates(params, updates), state, loss

    program = jax.jit(step, donate_argnums=(0, 1))
    cost_of_step = cost(program, params, adam.init(params), *_first_batch(problem, workload))
    task = ours.training(problem, workload, gradient=name)
    return task._replace(units=workload.steps, facts=task.facts | cost_of_step)


def of_loss(problem: Problem, workload: Workload, name: str) -> Task:
    """Call jitted value and gradient of cross-entropy in the logits."""
    (logits,), labels = _drawn((workload.batch, workload.sizes[-1])), jnp.asarray(problem.labels)

    def by_hand(logits: Any, labels: Any) -> Any:
        return mlp_jax.cross_entropy.pair(logits, labels)

    def of_optax(logits: Any, labels: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    functions: dict[str, Callable[..., Any]] = {
        BY_HAND: by_hand,
        BY_GRAD: jax.value_and_grad(mlp_jax.cross_entropy),
        OPTAX: jax.value_and_grad(of_optax),
    }
    return _called(functions[name], (logits, labels), workload.steps)


def cost(program: Any, *arguments: Any) -> dict[str, float]:
    """Return the bytes of a compiled program besides its arguments and results, and XLA's count of its flops."""
    compiled = program.lower(*arguments).compile()
    return {"memory": compiled.memory_analysis().temp_size_in_bytes, "flops": compiled.cost_analysis()["flops"]}


def _called(function: Callable[..., Any], arguments: Any, times: int) -> Task:
    program = jax.jit(function)
    told_apart = float(number(program(*arguments)))  # here, outside of what is timed

    def run(order: Any) -> float:
        for _ in range(times):
            result = program(*arguments)
        jax.block_until_ready(result)
        return told_apart

    return Task(run, times, ours.facts(**cost(program, *arguments)))


@jax.jit
def number(result: Any) -> jax.Array:
    """Return a number that tells results apart: their length and, for signs and places, half a product with cosines."""
    leaves = [leaf.ravel() for leaf in jax.tree.leaves(result)]
    length = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in leaves))
    return length + sum(jnp.sum(leaf * jnp.cos(jnp.arange(leaf.size))) for leaf in leaves) / 2


def _drawn(*shapes: tuple[int, ...]) -> list[jax.Array]:
    """Return normal numbers, the same on every side."""
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def _first_batch(problem: Problem, workload: Workload) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(problem.x[: workload.batch]), jnp.asarray(problem.labels[: workload.batch])
