"""Single calls by a user who does not write `jax.jit`: the first call, later calls, and the door's pass over x."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import mlp_jax
from experiments.benchmark.problems import Problem
from experiments.benchmark.sides import gradients, ours
from experiments.benchmark.worker import Task
from experiments.benchmark.workloads import Workload


def first(problem: Problem, workload: Workload, name: str, jitted: bool, count: bool = False) -> Task:
    """Make the first call in a new process without a cache on disk: its seconds, or the programs that it compiles."""
    call = _call(problem, workload, name, jitted)

    def value() -> float:
        jax.clear_caches()  # importing `ours` made a key
        programs = 0

        def listen(event: str, duration_secs: float, **kwargs: Any) -> None:
            nonlocal programs
            programs += event.endswith("backend_compile_duration")

        jax.monitoring.register_event_duration_secs_listener(listen)
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds = time.perf_counter() - start
        jax.monitoring.unregister_event_duration_listener(listen)
        return programs if count else seconds

    return Task(lambda order: 0.0, facts=ours.facts(), value=value)


def later(problem: Problem, workload: Workload, name: str, jitted: bool) -> Task:
    """Make as many calls as there are steps, after a first one, and wait for each: ms per call."""
    call = _call(problem, workload, name, jitted)
    told_apart = float(gradients.number(call()))

    def run(order: Any) -> float:
        for _ in range(workload.steps):
            jax.block_until_ready(call())
        return told_apart

    return Task(run, workload.steps / 1e3, ours.facts())


def pass_over_x(problem: Problem, workload: Workload) -> Task:
    """Sum all of x by NumPy, which has to read each number once: ms per pass."""

    def run(order: Any) -> float:
        for _ in range(workload.steps):
            np.sum(problem.x)
        return 0.0

    return Task(run, workload.steps / 1e3, {"device": "cpu"}, comparable=False)


def _call(problem: Problem, workload: Workload, name: str, jitted: bool) -> Callable[[], Any]:
    """Return a call of a public function with all arguments that it takes; `init_params` makes its key too."""
    function = getattr(mlp_jax, name)
    if name == "init_params":
        return lambda: function(jax.random.key(0), workload.sizes)
    x, labels = jnp.asarray(problem.x), jnp.asarray(problem.labels)
    arguments = (ours.as_params(problem), x, *(() if name == "forward" else (labels,)))
    return partial(jax.jit(function) if jitted else function, *arguments)
