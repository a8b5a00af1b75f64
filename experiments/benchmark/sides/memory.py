"""Memory: the most that a side's whole process ever held, and what a compiled run takes besides its data."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.benchmark.problems import Problem
from experiments.benchmark.results import Missing
from experiments.benchmark.worker import Task, task_of
from experiments.benchmark.workloads import Workload


def peak(problem: Problem, workload: Workload, function: str, of: Mapping[str, Any]) -> Task:
    """Return the peak of a new process that does another task once."""
    task = task_of(function, problem, workload, **of)

    def value() -> float:
        task.run(None)
        return peak_bytes()

    return task._replace(value=value)


def of_run(problem: Problem, workload: Workload, epochs: int) -> Task:
    """Return the temporary memory of a compiled run of some epochs."""
    import jax

    import mlp_jax
    from experiments.benchmark.sides import gradients, ours

    @jax.jit
    def program(key: Any, params: Any, x: Any, labels: Any) -> Any:
        return mlp_jax.train(key, params, (x, labels), epochs=epochs, batch_size=workload.batch)

    cost = gradients.cost(program, ours.KEY, ours.as_params(problem), problem.x, problem.labels)
    return Task(lambda order: 0.0, facts=ours.facts(), value=lambda: cost["memory"])


def peak_bytes() -> float:
    """Return the most memory that this process ever held: on Linux since its program started."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(1024.0 * float(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        raise Missing("this system does not tell a process's peak memory") from None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else 1024 * most)
