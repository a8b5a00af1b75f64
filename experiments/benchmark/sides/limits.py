"""What the machine can do: only the matrix products of a network, the fastest product, and the memory."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark.problems import Problem, units_of_training
from experiments.benchmark.sides.ours import facts
from experiments.benchmark.worker import Task
from experiments.benchmark.workloads import Workload

PRODUCTS: tuple[Callable[[Any, Any], Any], ...] = (
    lambda h, weight: h @ weight,
    lambda delta, h: h.T @ delta,
    lambda delta, weight: delta @ weight.T,
)  # forward, the weight's gradient, and delta of the layer below
SIDE = 2048  # rows and columns of the product that takes the machine to its peak
NUMBERS = 1 << 25  # of each array of the triad: 128 MiB, which no cache holds


def matrix_products(problem: Problem, workload: Workload) -> Task:
    """Take the products of the steps: h W, h^T delta and, but for the first layer, delta W^T, each shape in a loop.

    One number of each result goes into the next one's factor, so that no product can be left out.
    """
    draw = np.random.default_rng(0).normal
    programs = []
    for layer, (fan_in, fan_out) in enumerate(pairwise(workload.sizes)):
        h, weight, delta = (
            jnp.asarray(draw(size=shape), jnp.float32)
            for shape in ((workload.batch, fan_in), (fan_in, fan_out), (workload.batch, fan_out))
        )
        factors = (h, weight), (delta, h), (delta, weight)
        used = list(zip(PRODUCTS, factors, strict=True))[: 3 if layer else 2]
        programs += [(_repeated(product, workload.steps), pair) for product, pair in used]

    def run(order: Any) -> float:
        for program, pair in programs:
            jax.block_until_ready(program(*pair))
        return 0.0

    return Task(run, units_of_training(workload), facts(), comparable=False)


def peak(problem: Problem, workload: Workload) -> Task:
    """Take the product of two square float32 matrices, four times."""
    a, b = (jnp.asarray(np.random.default_rng(i).normal(size=(SIDE, SIDE)), jnp.float32) for i in range(2))
    program = _repeated(PRODUCTS[0], 4)

    def run(order: Any) -> float:
        jax.block_until_ready(program(a, b))
        return 0.0

    return Task(run, 4, facts(operations=2 * SIDE**3), comparable=False)


def bandwidth(problem: Problem, workload: Workload) -> Task:
    """Take the triad a + s b (McCalpin's STREAM) in place, eight times: each reads two numbers and writes one."""

    @jax.jit
    def program(a: Any, b: Any) -> Any:
        return jax.lax.fori_loop(0, 8, lambda i, a: a + (1e-3 * i) * b, a)

    a, b = jnp.zeros(NUMBERS), jnp.ones(NUMBERS)

    def run(order: Any) -> float:
        jax.block_until_ready(program(a, b))
        return 0.0

    return Task(run, 8, facts(bytes=3 * 4 * NUMBERS), comparable=False)


def _repeated(product: Callable[[Any, Any], Any], times: int) -> Callable[[Any, Any], Any]:
    """Return a program that takes a product many times over."""

    @jax.jit
    def program(a: Any, b: Any) -> Any:
        def step(a: Any, _: None) -> tuple[Any, None]:
            return a.at[0, 0].set(product(a, b)[0, 0] * 1e-9), None

        return jax.lax.scan(step, a, length=times)[0]

    return program
